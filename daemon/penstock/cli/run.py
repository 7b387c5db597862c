"""`penstock run KIND …` and `penstock submit KIND …`, for the kinds that are built in and any other."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import entry_points
from typing import Any

import click
import trio

from penstock.cli.caller import caller_environment
from penstock.cli.connect import check_new, open_place
from penstock.cli.flags import absolute, options_of, path_names
from penstock.cli.options import Wishes, common_options, common_parameters, take_wishes
from penstock.cli.output import emit, say, show_line
from penstock.cli.render import Ended, Teller, ended, open_teller
from penstock.cli.session import Session, run_async, session_of
from penstock.client import (
    Client,
    EpochChanged,
    Facts,
    News,
    Reconnecting,
    Skipped,
    WentBack,
)
from penstock.words.errors import DaemonUnreachable, PenstockError, Refused
from penstock.words.problems import Exit

#: What a person or a supervisor sends to end a command.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def submit_only(session: Session, request: dict[str, Any], wishes: Wishes) -> int:
    """Submit to the running daemon; the id is the data."""

    async def work(client: Client) -> dict[str, Any]:
        await check_new(session, request)
        return await client.submit(request, wait=wishes.block)

    reply = session.ask(work)
    if wishes.as_json:
        emit(reply)
    else:
        show_line(reply["run_id"])
    return Exit.OK


def run_to_end(session: Session, request: dict[str, Any], wishes: Wishes) -> int:
    """Submit, tell what happens, and end as the run did."""

    async def work() -> int:
        async with open_place(session, request) as client:
            reply = await client.submit(request, wait=wishes.block)
            execution = FollowedRun(client, reply["run_id"], wishes)
            async with open_teller(
                reply["kind"], json_wanted=wishes.as_json, quiet=wishes.quiet
            ) as teller:
                code = await execution.follow(teller)
            if not wishes.as_json and reply["kind"] != "command":
                execution.show_result()
            return code

    return run_async(work)


class FollowedRun:
    """One run that this command started, and may end."""

    def __init__(self, client: Client, run_id: str, wishes: Wishes) -> None:
        self._client, self._run_id, self._wishes = client, run_id, wishes
        self._end: Ended | None = None
        self._signal: int | None = None
        self._receipt_shown = trio.Event()

    async def follow(self, teller: Teller) -> int:
        """Tell the run until it has ended or a second signal comes: the exit code."""
        with trio.open_signal_receiver(*heeded()) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed, signals, nursery)
                self._end = await self._tell(teller)
                if self._signal is not None:
                    await self._receipt_shown.wait()
                nursery.cancel_scope.cancel(reason="the run has ended")
        if self._signal is not None:
            return 128 + self._signal
        if self._end is None:
            return Exit.RUN_FAILED
        if self._end.sentence:
            say(self._end.sentence)
        return self._end.code

    def show_result(self) -> None:
        """The result, as the data of this command."""
        if self._end is not None and self._end.result is not None:
            emit(self._end.result, indent=2)

    async def _tell(self, teller: Teller) -> Ended | None:
        try:
            return await tell_to_end(self._client, self._run_id, teller)
        except OSError as error:
            lost = error
        # As a pipe ends a program that nobody listens to any more; a full disk is such an end too.
        await self._client.cancel(self._run_id, "nobody reads its output", wait=True)
        raise lost

    async def _heed(self, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        async for number in signals:
            if self._signal is None:
                self._signal = number
                say(f"cancelling {self._run_id}; once more to leave at once")
                nursery.start_soon(self._cancel)
            else:
                say(f"left; cancelling {self._run_id} goes on")
                nursery.cancel_scope.cancel(reason="a second signal")

    async def _cancel(self) -> None:
        try:
            receipt = await self._client.cancel(self._run_id, "interrupted", wait=True)
            say(receipt_line(receipt))
        except PenstockError as error:
            say(f"{self._run_id} could not be cancelled: {error}")
        self._receipt_shown.set()


async def tell_to_end(
    client: Client, run_id: str, teller: Teller, *, after: int = 0
) -> Ended | None:
    """Tell a run's facts above `after`, until its end."""
    end = None
    async with client.follow(run_id, after=after) as stream:
        async for news in stream:
            if isinstance(news, Facts):
                await teller.tell(news.facts)
                end = ended(news.facts[-1]) or end
            else:
                notice(news)
    return end


def notice(news: News) -> None:
    """What happens to the stream itself, on stderr."""
    match news:
        case Reconnecting(why=why, attempt=1):
            say(f"{why}; connecting again")
        case Skipped(first=first, last=last):
            say(f"the facts {first} to {last} are not kept any more")
        case WentBack(first=first):
            say(
                f"the log does not hold the facts from {first} on any more; it was put back, and"
                " is read from its beginning"
            )
        case EpochChanged():
            say("the daemon has another log now; reading it from its beginning")
        case _:
            pass


def receipt_line(receipt: dict[str, Any]) -> str:
    """A receipt in a sentence; it never claims more than was proven."""
    run_id, outcome = receipt["run_id"], receipt["outcome"]
    survivors = receipt["survivors"]
    if outcome == "already_terminal":
        left = f", but is not proven gone; survivors: {survivors}" if survivors else ""
        return f"{run_id} had ended before{left}"
    if outcome == "tombstoned":
        return (
            f"{run_id} is not known; if it is submitted within a day it will not start"
        )
    if survivors:
        return f"{run_id} cancelled, but not proven gone; survivors: {survivors}"
    if receipt["gone_at"] is None:
        return f"{run_id}: cancel requested"
    pids = " ".join(map(str, receipt["pids"]))
    proof = f" ({receipt['method']}: {pids})" if pids else ""
    return f"{run_id} cancelled, nothing of it is left{proof}"


def heeded() -> tuple[signal.Signals, ...]:
    """The signals to act on: those that our parent did not tell us to ignore (nohup, `&`)."""
    return tuple(s for s in SIGNALS if signal.getsignal(s) is not signal.SIG_IGN)


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
    from penstock.cli.run import run_to_end, submit_only

    group = ctx.parent.command if ctx.parent else None
    detach = wishes.detach or (isinstance(group, Kinds) and group.detach)
    work = submit_only if detach else run_to_end
    ctx.exit(work(session_of(ctx), wishes.request(kind, inputs), wishes))


def _surroundings(session: Session, wishes: Wishes) -> dict[str, Any]:
    """The caller's folder and environment."""
    cwd = absolute(wishes.cwd or ".")
    if not os.path.isdir(cwd):
        raise Refused("--cwd", f"there is no folder {cwd}")
    return {"cwd": cwd, "env": caller_environment(session.environ, wishes.env)}


def _located(text: str) -> str:
    """A path made absolute; what names another place is left as it is."""
    if "://" in text or (":" in text.split("/")[0] and not os.path.exists(text)):
        return text
    return absolute(text)


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
