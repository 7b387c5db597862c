"""`penstock run KIND …` and `penstock submit KIND …`, for the kinds that are built in and any other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

import click

from penstock.cli.caller import caller_environment
from penstock.cli.flags import absolute, options_of, path_names
from penstock.cli.session import Session, session_of
from penstock.cli.wishes import Wishes, common_options, common_parameters, take_wishes
from penstock.words.errors import DaemonUnreachable, Refused

#: Kinds come by this group of entry points; the built-in ones too.
ENTRY_POINTS = "penstock.pipelines"


class Kinds(click.Group):
    """A command per kind; flags are made when the kind is named, not before."""

    def __init__(self, *, detach: bool, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.detach = detach

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "command":
            return _command
        found = find_kind(session_of(ctx), cmd_name)
        return None if found is None else _command_of(cmd_name, *found)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        # Summaries would need every kind imported; `run KIND --help` tells them.
        with formatter.section("Kinds"):
            formatter.write_text(", ".join(self.list_commands(ctx)))


def find_kind(session: Session, name: str) -> tuple[str, dict[str, Any]] | None:
    """A kind's summary and input schema: as the running daemon has it, else as installed here."""
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        kind = entry.load()
        return kind.summary, kind.inputs.model_json_schema()
    try:
        known = session.ask(lambda client: client.get("pipelines"))
    except DaemonUnreachable:
        if session.named:
            raise
        return None
    for told in known["pipelines"]:
        if told["name"] == name:
            return told["summary"], told["inputs"]
    return None


def _command_of(name: str, summary: str, schema: dict[str, Any]) -> click.Command:
    """The command of a kind whose flags are those of its schema."""
    skip = {"env", "cwd", *Wishes.__dataclass_fields__}
    parameters = options_of(schema, skip=skip)
    paths = path_names(schema)
    if name == "llms-txt":
        parameters = options_of(schema, skip={*skip, "source"})
        parameters.append(click.Argument(["source"], metavar="PATH_OR_URL"))
        paths |= {"source", "out"}

    @click.pass_context
    def callback(ctx: click.Context, /, **values: Any) -> None:
        wishes = take_wishes(values)
        inputs = {
            key: value for key, value in values.items() if value not in (None, ())
        }
        for key in paths & inputs.keys():
            inputs[key] = _located(inputs[key])
        if {"cwd", "env"} & schema.get("properties", {}).keys():
            inputs |= _surroundings(session_of(ctx), wishes)
        start(ctx, name, inputs, wishes)

    return click.Command(
        name,
        params=[*parameters, *common_parameters()],
        callback=callback,
        help=summary,
    )


@click.command(
    "command",
    context_settings={
        "ignore_unknown_options": False,
        "allow_interspersed_args": False,
    },
)
@click.argument("argv", nargs=-1, metavar="[--] PROGRAM [ARGUMENT]...")
@click.option("--shell", metavar="LINE", help="Give this line to /bin/sh instead.")
@common_options
@click.pass_context
def _command(
    ctx: click.Context, /, argv: tuple[str, ...], shell: str | None, **values: Any
) -> None:
    """Run a program here, with its output on stdout and stderr.

    No shell sees the arguments; `--shell 'a | b'` asks for one.
    """
    wishes = take_wishes(values)
    if bool(argv) == bool(shell) and not wishes.inputs:
        raise click.UsageError("give a program after `--`, or a line to --shell")
    inputs: dict[str, Any] = (
        {"shell": shell} if shell else {"argv": list(argv)} if argv else {}
    )
    start(ctx, "command", inputs | _surroundings(session_of(ctx), wishes), wishes)


def start(
    ctx: click.Context, kind: str, inputs: Mapping[str, Any], wishes: Wishes
) -> None:
    """Submit, and unless detached follow to the end; exits as the run did."""
    from penstock.cli.execute import run_to_end, submit_only

    group = ctx.parent.command if ctx.parent else None
    detach = wishes.detach or (isinstance(group, Kinds) and group.detach)
    work = submit_only if detach else run_to_end
    ctx.exit(work(session_of(ctx), wishes.request(kind, inputs), wishes))


def _surroundings(session: Session, wishes: Wishes) -> dict[str, Any]:
    """The caller's folder and environment."""
    cwd = absolute(wishes.cwd or ".", os.getcwd())
    if not os.path.isdir(cwd):
        raise Refused("--cwd", f"there is no folder {cwd}")
    return {"cwd": cwd, "env": caller_environment(session.environ, wishes.env)}


def _located(text: str) -> str:
    """A path made absolute; what names another place is left as it is."""
    if "://" in text or (":" in text.split("/")[0] and not os.path.exists(text)):
        return text
    return absolute(text, os.getcwd())


run = Kinds(
    detach=False,
    name="run",
    help="Start a run, follow it to its end, and end as it did.\n\n"
    "Ctrl-C cancels it and shows the receipt. Without a running daemon one is made for the "
    "length of the run.",
    subcommand_metavar="KIND [OPTIONS] ...",
)
submit = Kinds(
    detach=True,
    name="submit",
    help="Start a run on the running daemon and print its id.",
    subcommand_metavar="KIND [OPTIONS] ...",
)
