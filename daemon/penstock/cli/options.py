"""Arguments and options that several verbs take, and the types of their values."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from penstock.cli.offers import offer_boxes, offer_groups, offer_runs
from penstock.cli.session import session_of
from penstock.words.durations import local_zone, parse_moment, parse_span
from penstock.words.plain_files import read_plain, reason_of
from penstock.words.run_id import NAME_LABEL as NAME_LABEL

#: Bytes of a file of inputs: more go into no request.
LARGEST_FILE = 16 * 1024 * 1024


def _one_run(ctx: click.Context, _param: click.Parameter, word: str | None) -> str:
    """The one run that a word means; without a word, the one of interest now."""
    if ctx.resilient_parsing:
        # A shell asks what may stand behind it.
        return word or ""
    from penstock.cli.selecting import select_one

    return select_one(session_of(ctx), word)


def _named_run(ctx: click.Context, _param: click.Parameter, word: str | None) -> str:
    """The one run that a word means, for a verb that changes it and so wants a word."""
    if ctx.resilient_parsing:
        # A shell asks what may stand behind it.
        return word or ""
    from penstock.cli.selecting import select_named_one

    return select_named_one(session_of(ctx), word, str(ctx.info_name))


#: A run, for verbs that only read: it may be left out.
run_argument = click.argument(
    "run_id",
    metavar="[ID]",
    required=False,
    shell_complete=offer_runs,
    callback=_one_run,
)
#: A run, for verbs that change it.
named_run_argument = click.argument(
    "run_id",
    metavar="ID",
    required=False,
    shell_complete=offer_runs,
    callback=_named_run,
)
#: Runs, as they were written: see `selecting.select`.
runs_argument = click.argument(
    "words", metavar="[ID]...", nargs=-1, shell_complete=offer_runs
)
after_option = click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Only facts above position N.",
)
group_option = click.option(
    "--group",
    "-g",
    shell_complete=offer_groups,
    help="Only this group of the configuration.",
)


box_option = click.option(
    "--box",
    metavar="NAME",
    shell_complete=offer_boxes,
    help="This box: what it starts, and not what is taken in.",
)


quiet_option = click.option(
    "--quiet", "-q", is_flag=True, help="No progress; only data and failures."
)


class JsonText(click.ParamType[Any]):
    """A JSON value, or the name of a file that holds one after `@`."""

    name = "JSON|@file"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        if not isinstance(value, str):
            return value
        try:
            text = (
                read_plain(Path(value[1:]), LARGEST_FILE, pipe=True)
                if value[:1] == "@"
                else value
            )
            return json.loads(text, parse_constant=_no_number)
        except RecursionError:
            self.fail("lists and objects stand too deep in one another", param, ctx)
        except (OSError, ValueError) as error:
            # What was written there may be a secret.
            where = f"{value}: " if value[:1] == "@" else ""
            self.fail(f"{where}{reason_of(error)}", param, ctx)


class Finite(click.FloatRange):
    """A number that JSON can say: not `inf`, not `nan`."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


class DurationText(click.ParamType[float]):
    """A duration in seconds, as people say it."""

    name = "DURATION"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_span(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class MomentText(click.ParamType[datetime]):
    """A time of day, or of a day, by the clock of whoever says it."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(str(value), local_zone(datetime.now(UTC)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


in_option = click.option(
    "--in",
    "delay",
    type=DurationText(),
    metavar="DURATION",
    help="Start so much later: 90s, 5m, 3h.",
)
at_option = click.option(
    "--at",
    "not_before",
    type=MomentText(),
    metavar="TIME",
    help="Start no earlier than the next 22:00, or '2026-12-24 18:00', by your clock.",
)


def moment_said(
    delay: float | None, not_before: datetime | None
) -> dict[str, float | str]:
    """What these two options say, as requests have it. UsageError for both."""
    if delay is not None and not_before is not None:
        raise click.UsageError("--in and --at say the same: give one")
    if delay is not None:
        return {"delay": delay}
    if not_before is not None:
        return {"not_before": not_before.astimezone(UTC).isoformat()}
    return {}


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")
