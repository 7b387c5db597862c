"""`penstock`: the command line. Every verb is imported only when it is used."""

from __future__ import annotations

import atexit
import builtins
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

import click

from penstock import __version__
from penstock.cli.session import Session
from penstock.unforeseen import guarded, let_go, open_streams, tell_unforeseen
from penstock.words.errors import PenstockError
from penstock.words.exit_codes import CODES, RUN_VERBS, Exit, in_a_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from click.shell_completion import CompletionItem

#: verb -> what it does; the heading groups them in the help. Each is a file of its own, of its name.
VERBS: dict[str, dict[str, str]] = {
    "Runs": {
        "run": "Start a run, follow it to its end, and end as it did.",
        "submit": "Start a run and print its id.",
        "status": "The queue, what is open, and what ended last.",
        "list": "The runs, newest first.",
        "show": "One run as it stands.",
        "logs": "What a run printed.",
        "artifacts": "The texts that a run makes, or one of them.",
        "diff": "What a run changed, or several side by side.",
        "apply": "Put what a run changed into your own tree.",
        "follow": "A run from its beginning to its end, live.",
        "attach": "The terminal of a run that has one; C-\\ C-\\ leaves it.",
        "wait": "Wait until runs have ended.",
        "cancel": "Cancel runs, and prove that they are gone.",
        "retry": "The same inputs again, as a new run.",
        "why": "Why a run waits, and what stands before it.",
    },
    "The queue": {
        "queue": "How many runs queue and execute, and what is paused.",
        "pause": "Start no more runs, of all or of a group.",
        "resume": "Start and take in runs again.",
        "drain": "Take no new runs in, and wait for those there are.",
        "slots": "How many runs may execute at once, from now on.",
        "every": "Run something again and again.",
        "schedules": "What is run again and again, and when next.",
        "stash": "Put queued runs aside.",
        "enqueue": "Put runs in line: those that are stashed, or wait for a moment.",
        "move": "Give a queued run the first or last place.",
        "priority": "Give queued runs another priority.",
        "edit": "Change what a run is to do, before it begins.",
    },
    "People": {
        "asks": "The questions that wait for an answer.",
        "answer": "Answer a run's question.",
        "say": "Tell a run's agent what to do next.",
        "intervene": "Tell a run something.",
        "send": "Send a line to a run's program, or what is piped in.",
    },
    "The log": {
        "events": "The recorded facts, as NDJSON, and those to come.",
        "export": "Write the log as NDJSON.",
        "audit": "Check that the log keeps every law.",
        "prune": "Forget old ended runs.",
        "import": "Read such an export into an empty log.",
        "migrate": "Move the log from its file to a PostgreSQL.",
    },
    "Models": {
        "agents": "The coding agents there are, and what each lacks.",
        "models": "The models there are, and how fast they answer.",
        "context": "What a model would be told of a run.",
    },
    "The daemon": {
        "serve": "Run the daemon in the foreground.",
        "shutdown": "Stop the daemon; queued runs are kept.",
        "tui": "Watch and steer the daemon on the terminal.",
        "open": "The daemon's page in a browser: the list, or one run.",
        "mcp": "Serve MCP on stdin and stdout, for agents.",
        "health": "Whether the daemon is well, and what ails it.",
        "boxes": "The boxes that share the log, and how each stands.",
        "clients": "Who reads the log now, and how far behind.",
        "service": "The daemon as a user service of systemd.",
        "doctor": "What is amiss on this box, and how to put it right.",
        "config": "Every setting, and where it came from.",
        "token": "The secret that clients over TCP show.",
        "completions": "Completion for your shell, and the man page.",
    },
}  # fmt: skip
#: What is typed often, and what it stands for.
ALIASES = {
    "add": "submit", "ls": "list", "log": "logs", "kill": "cancel", "re": "retry", "st": "status",
}  # fmt: skip
_SUMMARIES = {
    verb: summary for verbs in VERBS.values() for verb, summary in verbs.items()
}
#: Entry points of this group are verbs of other packages: `name = "module:command"`.
VERB_GROUP = "penstock.verbs"
#: Set where a shell asks what may stand in a line.
COMPLETING = "_PENSTOCK_COMPLETE"


class Failure(click.ClickException):
    """A sentence on stderr, and an exit code that says of what sort it is."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        # click reads it from the instance; only its type says that it belongs to the class.
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        # Not at the top: help needs none of it. The sentence may quote what others wrote.
        from penstock.cli.output import say

        # Where it cannot be said, the exit code says it.
        with suppress(OSError):
            say(self.message)


class LazyGroup(click.Group):
    """Verbs from the table above, so that `--help` imports none of them; then those of others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_SUMMARIES, *_verbs_of_others()]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb, also by its alias. A usage error says what may have been meant."""
        name = ALIASES.get(args[0], args[0])
        if ctx.resilient_parsing or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, [name, *args[1:]])
        from penstock.words.near_words import did_you_mean

        hint = did_you_mean(name, [*self.list_commands(ctx), *ALIASES])
        raise click.UsageError(f"there is no verb {name!r}{hint}", ctx)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Verbs from the table: to import each for what it says would take a second."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        from penstock.cli.first_word import entry_names

        short = {
            alias: f"{head}: {_SUMMARIES[head]}" for alias, head in ALIASES.items()
        }
        known = {**_SUMMARIES, **short, **dict.fromkeys(entry_names(VERB_GROUP), "")}
        return [
            CompletionItem(verb, help=told)
            for verb, told in known.items()
            if verb.startswith(incomplete)
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _SUMMARIES:
            return _load(cmd_name)
        point = _verbs_of_others().get(cmd_name)
        return point.load() if point else None

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        for heading, verbs in VERBS.items():
            with formatter.section(heading):
                formatter.write_dl(list(verbs.items()))
        with formatter.section("Short"):
            formatter.write_text(", ".join(f"{a} = {v}" for a, v in ALIASES.items()))
        if others := _verbs_of_others():
            with formatter.section("Of other packages"):
                formatter.write_dl(
                    [(name, _summary(point)) for name, point in others.items()]
                )

    def make_context(self, *args: Any, **others: Any) -> click.Context:
        """Read the options that stand before the verb."""
        with _quoting_harmlessly():
            return super().make_context(*args, **others)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an error becomes its sentence and its exit code.

        Where the codes are a program's, so does one that nobody foresaw: 125 must not be another.
        """
        try:
            return self._invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (Exception, BaseExceptionGroup) as error:
            if ctx.invoked_subcommand not in RUN_VERBS:
                raise
            tell_unforeseen(error, "penstock", debug=ctx.obj.debug)
            # What stdout did not take must not fail a second time.
            let_go()
            raise click.exceptions.Exit(Exit.PENSTOCK) from None

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            with _quoting_harmlessly():
                return super().invoke(ctx)
        except PenstockError as error:
            from penstock.words.error_status import exit_code_of

            code = exit_code_of(error, ctx.invoked_subcommand)
            raise Failure(str(error), code) from None
        except (KeyboardInterrupt, click.Abort):
            raise Failure("interrupted", 128 + signal.SIGINT) from None
        except BrokenPipeError:
            # Our reader has left (`| head`); click's own code for it is that of a failed run.
            raise click.exceptions.Exit(128 + signal.SIGPIPE) from None
        except UnicodeEncodeError as error:
            # Bytes of an argument that are no text become halves of surrogate pairs, which go
            # into no request and no log.
            if error.encoding != "utf-8":
                raise
            raise Failure(_tell_no_text(sys.argv), Exit.USAGE) from None


@contextmanager
def _quoting_harmlessly() -> Iterator[None]:
    """What click says of a wrong call quotes it as it was; a script may have passed on anything."""
    try:
        yield
    except click.ClickException as error:
        from penstock.words.text import neutralise

        # Final for those who make one; it is read when the error is shown.
        error.message = neutralise(error.message)  # type: ignore[misc]
        raise


def _tell_no_text(argv: Sequence[str]) -> str:
    """Which arguments are no text, by their places: what stands around one may be a secret."""
    places = [
        str(place)
        for place, argument in enumerate(argv)
        if not argument.isascii() and any("\udc80" <= c <= "\udcff" for c in argument)
    ]
    which = f"argument {' and '.join(places)}" if places else "a value"
    return f"{which} is not UTF-8; arguments and values must be"


def _load(verb: str) -> click.Command:
    """The command of this name in the file of this name; `_` follows a word that Python has itself."""
    from penstock.cli.examples import EXAMPLES, with_example

    file = f"{verb}_" if iskeyword(verb) else verb
    module = importlib.import_module(f"penstock.cli.{file}")
    own = iskeyword(verb) or hasattr(builtins, verb)
    command: click.Command = getattr(module, f"{verb}_" if own else verb)
    if EXAMPLES.get(verb, "") not in (command.epilog or ""):
        command.epilog = with_example(verb, command.epilog)
    return command


def _verbs_of_others() -> dict[str, EntryPoint]:
    """The verbs of installed packages, by name; none is imported."""
    # Not at the top: it costs as much as a verb, and the verbs of this table need none of it.
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=VERB_GROUP)}


def _summary(point: EntryPoint) -> str:
    """The first line of the verb's module, read and not imported."""
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    try:
        spec = find_spec(point.module)
        text = Path((spec and spec.origin) or "").read_text(encoding="utf-8")
        said = ast.get_docstring(ast.parse(text)) or ""
    except (ImportError, OSError, SyntaxError, ValueError):
        said = ""
    return said.split("\n")[0] or f"See {point.module}."


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"Exit codes: {in_a_line(CODES)}. `run`, `follow` and `wait` end as their run did: "
    "`penstock wait --help`.",
)
@click.option(
    "--url", metavar="URL", help="The daemon: http://host:port or unix:/path."
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(),
    help="The config file.",
)
@click.option("--debug", is_flag=True, help="A traceback for what was not foreseen.")
@click.version_option(__version__, prog_name="penstock")
@click.pass_context
def cli(
    ctx: click.Context, url: str | None, config_file: str | None, debug: bool
) -> None:
    """Meter work into processes and language models, and prove how each run ended.

    Data goes to stdout, everything else to stderr.
    """
    ctx.obj = Session(environ=os.environ, url=url, config_file=config_file, debug=debug)
    if ctx.invoked_subcommand is None:
        if on_terminal():
            ctx.invoke(_load("status"))
        else:
            click.echo(ctx.get_help())


def on_terminal() -> bool:
    """Whether a person reads what is said."""
    return sys.stdout.isatty()


def main() -> None:
    """The console script."""
    open_streams()
    if COMPLETING in os.environ:
        from penstock.cli.completing import register

        register()
    # Read here, since what fails may be the reading of options.
    debug = "--debug" in sys.argv[1:]
    code = guarded(lambda: cli(prog_name="penstock"), "penstock", debug=debug)
    if "trio" not in sys.modules:
        atexit.register(_leave, code)
    sys.exit(code)


def _leave(code: int) -> None:
    """End at once: to take all modules apart again takes a fifth of a frequent command."""
    let_go()
    os._exit(code)


if __name__ == "__main__":
    main()
