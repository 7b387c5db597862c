"""A command per kind of run, below `penstock run` and `penstock submit`; flags are its schema's."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from penstock.cli.agent_command import (
    ARGUMENTS,
    Requests,
    agent_arguments,
    agent_requests,
)
from penstock.cli.archives import check_new
from penstock.cli.first_word import (
    ADDED,
    ENTRY_POINTS,
    Preset,
    choose_preset,
    find_presets,
    find_program,
    is_kind,
    kind_names,
    tell_hidden,
)
from penstock.cli.kind_flags import absolute, located, options_of, path_names
from penstock.cli.offers import offer_programs, programs_like
from penstock.cli.output import require_stdout
from penstock.cli.reasons import tell_nowhere
from penstock.cli.replies import show_started, tell_replayed
from penstock.cli.run_options import (
    RunOptions,
    common_options,
    common_parameters,
    take_options,
)
from penstock.cli.session import Session, session_of
from penstock.cli.variables import wanted_variables
from penstock.client.surroundings import with_caller
from penstock.client.sync import SyncClient
from penstock.words.errors import DaemonUnreachable, Refused
from penstock.words.exit_codes import AGENT_KIND, PROGRAM_KIND, Exit

#: Where a context keeps whether a word stands for a program without its kind being named.
BARE = "penstock.bare"

Execute = Callable[[Session, dict[str, Any], RunOptions], int]
#: The same of several runs at once, each with the options that are its own.
ExecuteTogether = Callable[[Session, Requests], int]


class Kinds(click.Group):
    """A command per kind; flags are made when the kind is named, not before."""

    def __init__(
        self,
        execute: Execute,
        together: ExecuteTogether | None = None,
        **attributes: Any,
    ) -> None:
        metavar = "PROGRAM|PRESET|KIND [ARGUMENT]..."
        super().__init__(subcommand_metavar=metavar, **attributes)
        #: What becomes of the request that such a command makes; its exit code.
        self.execute = execute
        #: And of several; None: one after the other.
        self.together = together

    def execute_all(self, session: Session, requests: Requests) -> int:
        """Execute one request or several; the exit code is the first that is not 0."""
        if len(requests) > 1 and self.together is not None:
            return self.together(session, requests)
        codes = [self.execute(session, *request) for request in requests]
        return next(filter(None, codes), Exit.OK)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # The kind of a program need not be named: its flags, `--` or the program itself are enough.
        if args and args[0] not in ctx.help_option_names:
            if args[0].startswith("-") or not self._is_kind(ctx, args[0]):
                ctx.meta[BARE] = True
                args = [PROGRAM_KIND, *args]
            elif args[0] != PROGRAM_KIND and not ctx.resilient_parsing:
                tell_hidden(args[0], session_of(ctx).environ)
        return super().parse_args(ctx, args)

    @staticmethod
    def _is_kind(ctx: click.Context, word: str) -> bool:
        """Whether it is a kind here or, where it is nothing else, one that only the daemon has."""
        environ = session_of(ctx).environ
        if is_kind(word):
            return True
        if word in find_presets() or find_program(word, environ) is not None:
            return False
        try:
            return find_kind(session_of(ctx), word) is not None
        except DaemonUnreachable:
            return False

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem[str]]:
        """A first word: a kind, a preset or a program; or a flag of ours before it."""
        if incomplete.startswith("-"):
            return self.of_programs.shell_complete(ctx, incomplete)
        words = [*sorted({PROGRAM_KIND, *kind_names()}), *find_presets()]
        found = [CompletionItem(w) for w in words if w.startswith(incomplete)]
        return found + programs_like(session_of(ctx).environ, incomplete)

    def list_commands(self, ctx: click.Context) -> list[str]:
        # Late, here and below: it takes as long as a program's own verb does all else.
        from importlib.metadata import entry_points

        return sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = self._make_command(ctx, cmd_name)
        if command is not None:
            command.epilog = self.epilog
        return command

    def _make_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == PROGRAM_KIND:
            return _command_of_programs(self.execute)
        found = find_kind(session_of(ctx), cmd_name)
        return (
            None if found is None else _command_of(self.execute_all, cmd_name, *found)
        )

    @property
    def of_programs(self) -> click.Command:
        """The command of what is mostly run: its flags are told where no kind is named."""
        return _command_of_programs(self.execute)

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Those of a program, which stand before it."""
        self.of_programs.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        # Summaries would need every kind imported; `run KIND --help` tells them.
        with formatter.section("Kinds"):
            formatter.write_text(", ".join(self.list_commands(ctx)))


def find_kind(session: Session, name: str) -> tuple[str, dict[str, Any]] | None:
    """A kind's summary and input schema: as the running daemon has it, else as installed here."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        kind = entry.load()
        return kind.summary, kind.inputs.model_json_schema()
    try:
        known = session.call(lambda client: client.get("pipelines"))
    except DaemonUnreachable:
        if session.named:
            raise
        return None
    for told in known["pipelines"]:
        if told["name"] == name:
            return told["summary"], told["inputs"]
    return None


def _command_of(
    execute: ExecuteTogether, name: str, summary: str, schema: dict[str, Any]
) -> click.Command:
    """The command of a kind whose flags are those of its schema."""
    skip = {"env", "cwd", *RunOptions.__dataclass_fields__}
    parameters = options_of(schema, skip=skip)
    paths = path_names(schema)
    if name == "llms-txt":
        parameters = options_of(schema, skip={*skip, "source"})
        parameters.append(click.Argument(["source"], metavar="PATH_OR_URL"))
        paths |= {"source", "out"}
    elif name == AGENT_KIND:
        parameters = [*options_of(schema, skip={*skip, *ARGUMENTS}), *agent_arguments()]

    @click.pass_context
    def callback(ctx: click.Context, /, **values: Any) -> None:
        options = take_options(values)
        words = values.pop("words") if name == AGENT_KIND else ()
        inputs = {
            key: value for key, value in values.items() if value not in (None, ())
        }
        for key in paths & inputs.keys():
            inputs[key] = located(inputs[key])
        known = schema.get("properties", {})
        if {"cwd", "env"} & known.keys():
            around = _surroundings(session_of(ctx), options)
            inputs |= {key: value for key, value in around.items() if key in known}
        requests = (
            agent_requests(words, inputs, options)
            if name == AGENT_KIND
            else [(options.request(name, inputs), options)]
        )
        ctx.exit(execute(session_of(ctx), requests))

    return click.Command(
        name,
        params=[*parameters, *common_parameters(parameters)],
        callback=callback,
        help=summary,
    )


def _program_options(command: Callable[..., None]) -> Callable[..., None]:
    """The parameters of the kind `command`: the program, and what it has for input."""
    for parameter in (
        click.option(
            "--tty",
            is_flag=True,
            help="Give the program a terminal; see `penstock attach`.",
        ),
        click.option(
            "--merge",
            is_flag=True,
            help="Take its stderr into its stdout, in the order in which it writes, as 2>&1 does.",
        ),
        click.option(
            "--stdin",
            type=click.Choice(["open", "none"]),
            help="Whether the program has an input; see `penstock send`."
            "  [default: run: what is piped in; submit: none]",
        ),
        click.option(
            "--shell", metavar="LINE", help="Give this line to /bin/sh instead."
        ),
        click.argument(
            "argv",
            nargs=-1,
            metavar="[--] PROGRAM [ARGUMENT]...",
            shell_complete=offer_programs,
        ),
    ):
        command = parameter(command)
    return command


class ProgramCommand(click.Command):
    """The command of the kind `command`; it remembers whether `--` stood before the program."""

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Flags of ours; behind the program they are its own."""
        if argv := ctx.params.get("argv"):
            return [CompletionItem(argv[0], type="program")]
        return super().shell_complete(ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        before = len(given) - len(ctx.params.get("argv") or ()) - 1
        if before >= 0 and given[before] == "--":
            ctx.meta[BARE] = False
        return rest


def _preset_of(ctx: click.Context, argv: tuple[str, ...]) -> Preset | None:
    """The preset that a bare word stands for; None for a program."""
    if not argv or not ctx.meta.get(BARE):
        return None
    if is_kind(argv[0]):
        raise click.UsageError(
            f"name the kind first, and its flags behind it: {argv[0]}"
        )
    return choose_preset(argv[0], session_of(ctx).environ)


def _with_preset(ctx: click.Context, options: RunOptions, preset: Preset) -> RunOptions:
    """What the preset says, unless the command line says otherwise."""
    flags = preset.flags()
    said = {
        name
        for name in flags
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
    }
    for name in ADDED:
        # The later one of two of the same name holds.
        flags[name] += getattr(options, name)
    chosen = {n: v for n, v in flags.items() if n not in said or n in ADDED}
    if "priority" in chosen:
        chosen["priority"] = chosen["priority"].upper()
    return replace(options, cwd=options.cwd or preset.cwd, **chosen)


def _command_of_programs(execute: Execute) -> click.Command:
    """The command of the kind `command`, whose flags end where the program begins."""

    @click.command(
        PROGRAM_KIND,
        cls=ProgramCommand,
        context_settings={"allow_interspersed_args": False},
    )
    @_program_options
    @common_options
    @click.pass_context
    def command(ctx: click.Context, /, **values: Any) -> None:
        """Run a program here, with its output on stdout and stderr.

        No shell sees the arguments; `--shell 'a | b'` asks for one. A piped input is passed on.
        """
        inputs, options = _asked_program(ctx, **values)
        request = options.request(PROGRAM_KIND, inputs)
        ctx.exit(execute(session_of(ctx), request, options))

    return command


def _asked_program(
    ctx: click.Context,
    /,
    argv: tuple[str, ...],
    shell: str | None,
    stdin: str | None,
    tty: bool,
    merge: bool,
    **values: Any,
) -> tuple[dict[str, Any], RunOptions]:
    """The inputs that the command line asks for, and the options: what a preset says among them."""
    options = take_options(values)
    if bool(argv) == bool(shell) and not options.inputs:
        raise click.UsageError("give a program after `--`, or a line to --shell")
    inputs: dict[str, Any] = (
        {"shell": shell} if shell else {"argv": list(argv)} if argv else {}
    )
    preset = _preset_of(ctx, argv)
    if preset is not None:
        inputs, options = preset.inputs(argv[1:]), _with_preset(ctx, options, preset)
        tty = tty or preset.values.get("tty") is True
    if stdin is not None:
        inputs["stdin"] = "open" if stdin == "open" else None
    if merge:
        inputs["stderr"] = "stdout"
    if tty:
        inputs |= _terminal(options)
    inputs |= _surroundings(session_of(ctx), options)
    return inputs, options


def submit_only(session: Session, request: dict[str, Any], options: RunOptions) -> int:
    """Submit to the running daemon; the id is the data."""
    require_stdout()

    def work(client: SyncClient) -> dict[str, Any]:
        check_new(session, request)
        asked = with_caller(request, session.environ, client.address)
        return client.submit(asked, wait=options.block)

    reply = session.call(work)
    tell_replayed(reply)
    show_started(reply, as_json=options.as_json)
    tell_nowhere(session, reply["run_id"], options.needs)
    if options.notify:
        # Late: few ask for it.
        from penstock.cli.bell import leave_bell

        leave_bell(session, reply["run_id"])
    return Exit.OK


def _terminal(options: RunOptions) -> dict[str, Any]:
    """A terminal as large as ours; where an id says which run is meant, ours is no part of that."""
    from penstock.cli.own_terminal import own_size

    rows, cols = own_size()
    if options.run_id is not None or not (rows or cols):
        return {"stdin": "tty"}
    return {"stdin": "tty", "tty": {"rows": rows, "cols": cols}}


def _surroundings(session: Session, options: RunOptions) -> dict[str, Any]:
    """The caller's folder, and the variables that are part of what the run is.

    `--inputs` may name both; flags go before it.
    """
    found: dict[str, Any] = {}
    # Of what may execute at any box the daemon says whether it has this one's folder.
    stays = not options.anywhere and options.inputs.get("cwd") is None
    if options.cwd or stays:
        found["cwd"] = cwd = absolute(options.cwd or ".")
        if not os.path.isdir(cwd):
            raise Refused("--cwd", f"there is no folder {cwd}")
    if options.env or options.env_file:
        said = options.inputs.get("env")
        wanted = wanted_variables(session.environ, options.env, options.env_file)
        found["env"] = {**(said if isinstance(said, dict) else {}), **wanted}
    return found
