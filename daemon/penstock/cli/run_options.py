"""What can be asked of every run, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from penstock.cli.offers import offer_groups, offer_labels, offer_runs
from penstock.cli.options import (
    NAME_LABEL,
    DurationText,
    JsonText,
    at_option,
    in_option,
    moment_said,
    quiet_option,
)
from penstock.cli.session import session_of
from penstock.words.errors import Refused
from penstock.words.run_id import LONGEST_RUN_ID, check_new_run_id

PRIORITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "BACKGROUND"]


@dataclass(frozen=True)
class RunOptions:
    """The common options of `run` and `submit`."""

    inputs: Mapping[str, Any]
    priority: str
    run_id: str | None
    new: bool
    run_name: str | None
    after: tuple[str, ...]
    timeout: float | None
    labels: tuple[str, ...]
    group: str | None
    on_restart: str | None
    delay: float | None
    not_before: datetime | None
    stash: bool
    retries: int
    backoff: float | None
    needs: tuple[str, ...]
    anywhere: bool
    env: tuple[str, ...]
    env_file: tuple[str, ...]
    cwd: str | None
    block: bool
    notify: bool
    detach: bool
    as_json: bool
    quiet: bool

    def request(self, kind: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The body of `POST /runs`; what was not said is left to the daemon's defaults."""
        labels = dict(_pair("--label", label) for label in self.labels)
        if self.run_name is not None:
            labels[NAME_LABEL] = self.run_name
        said = {
            "run_id": self._id(),
            "after": list(self.after),
            "timeout": self.timeout,
            "labels": labels,
            "group": self.group,
            "on_restart": self.on_restart,
            **moment_said(self.delay, self.not_before),
            "stashed": self.stash or None,
            "retries": self.retries or None,
            "backoff": self.backoff,
            "needs": needs_said(self.needs),
            "anywhere": self.anywhere or None,
        }
        return {
            "kind": kind,
            "inputs": {**self.inputs, **inputs},
            "priority": self.priority,
            **{
                name: value
                for name, value in said.items()
                if value not in (None, [], {})
            },
        }

    def _id(self) -> str | None:
        """The wanted id; with `--new` one that no run has and that begins like it."""
        if self.run_id is None:
            return None
        try:
            check_new_run_id(self.run_id)
        except ValueError as error:
            raise Refused("--id", str(error)) from None
        if not self.new:
            return self.run_id
        import secrets

        fresh = f"-{secrets.token_hex(4)}"
        return self.run_id[: LONGEST_RUN_ID - len(fresh)] + fresh


def _named(
    ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]
) -> tuple[str, ...]:
    """The ids of the runs that these words mean, each of which means one."""
    if not words or ctx.resilient_parsing:
        return words
    if not all(words):
        # Without a word another run would be meant, of which nobody has spoken.
        raise click.BadParameter("an ID is empty")
    from penstock.cli.selecting import select_one

    return tuple(select_one(session_of(ctx), word) for word in words)


needs_option = click.option(
    "--on", "needs", multiple=True, metavar="KEY=VALUE", shell_complete=offer_labels,
    help="Execute at a box that has this label; box=NAME is that box.",
)  # fmt: skip


def needs_said(words: Iterable[str]) -> dict[str, str]:
    """What `--on` asks of a box, by name. Refused."""
    return dict(_pair("--on", need) for need in words)


_OPTIONS: list[Callable[..., Any]] = [
    click.option("--inputs", type=JsonText(), default="{}", metavar="JSON|@FILE",
                 help="Inputs as one JSON object; flags go before it."),
    click.option("--priority", type=click.Choice(PRIORITIES, case_sensitive=False),
                 default="MEDIUM", show_default=True),
    click.option("--id", "run_id", metavar="ID", help="The same id and inputs are the same run. No slash, no number alone."),
    click.option("--new", is_flag=True, help="Run anew what has this --id, under one made of it."),
    click.option("--name", "run_name", metavar="NAME",
                 help="What to call it; not unique. Kept as the label `name`."),
    click.option("--after", multiple=True, metavar="ID", callback=_named, shell_complete=offer_runs,
                 help="Start when this run has completed."),
    click.option("--timeout", type=DurationText(), metavar="DURATION", help="Executing time at most: 600, 90s, 5m."),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE"),
    click.option("--group", metavar="NAME", shell_complete=offer_groups, help="Share the slots of this group."),
    click.option("--on-restart", type=click.Choice(["requeue", "fail", "ask"]),
                 help="What becomes of it when the daemon restarts."),
    in_option,
    at_option,
    click.option("--stash", is_flag=True, help="Put it aside until `penstock enqueue`."),
    click.option("--retries", type=click.IntRange(0), default=0, metavar="N",
                 help="If it fails, execute it again, so often at most."),
    click.option("--backoff", type=DurationText(), metavar="DURATION",
                 help="Before the first of these; doubled each time, up to an hour.  [default: 10s]"),
    needs_option,
    click.option("--anywhere", is_flag=True,
                 help="Its files are on every box: execute at any. Without --cwd, in no folder of yours."),
    click.option("--env", multiple=True, metavar="NAME[=VALUE]", help="Give programs this variable, as a part of what the run is."),
    click.option("--env-file", multiple=True, type=click.Path(), metavar="FILE", help="The same for each line of this file."),
    click.option("--cwd", type=click.Path(file_okay=False), help="Work here.  [default: .]"),
    click.option("--notify", "-n", is_flag=True, help="Ring on this terminal when it has ended."),
    click.option("--block", is_flag=True, help="Wait for room while the queue is full."),
    click.option("--detach", is_flag=True, help="Print the id and leave; as `submit`."),
    click.option("--json", "as_json", is_flag=True, help="Facts as NDJSON on stdout."),
    quiet_option,
]  # fmt: skip


NAMES = tuple(RunOptions.__dataclass_fields__)


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def common_parameters(own: Iterable[click.Parameter] = ()) -> list[click.Parameter]:
    """The same as parameters, for commands that are put together at run time.

    A flag that a kind has itself means what the kind says.
    """
    taken = {flag for parameter in own for flag in parameter.opts}

    @common_options
    def holder() -> None: ...

    parameters: list[click.Parameter] = list(
        reversed(getattr(holder, "__click_params__", []))
    )
    return [p for p in parameters if not taken.intersection(p.opts)]


def take_options(values: dict[str, Any]) -> RunOptions:
    """The options out of a command's values; what remains belongs to the kind."""
    options = RunOptions(**{name: values.pop(name, None) for name in NAMES})
    if not isinstance(options.inputs, dict):
        raise Refused("--inputs", "must be a JSON object")
    return options


def _pair(option: str, said: str) -> tuple[str, str]:
    key, given, value = said.partition("=")
    if not given or not key:
        raise Refused(option, f"{said!r} is not KEY=VALUE")
    return key, value
