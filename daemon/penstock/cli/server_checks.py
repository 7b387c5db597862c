"""What `penstock doctor` looks at of a PostgreSQL that keeps the log, and of the boxes that share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.cli.checks import Box, CheckResult, Findings
from penstock.log.postgresql.extra import require_psycopg
from penstock.words.errors import StartRefused

if TYPE_CHECKING:
    from penstock.log.postgresql.standing import BoxOnServer, ServerStanding

#: Seconds by which two clocks may differ, and nobody need look after them.
CLOCKS_AGREE = 60.0
#: Levels of `synchronous_commit` at which a synchronous standby is waited for.
WAITS = frozenset({"on", "remote_apply", "remote_write"})


def check_server(box: Box) -> Findings:
    """The server of the configured store; a look is no second daemon."""
    config = box.config
    assert config.store is not None
    try:
        require_psycopg()
        from penstock.log.postgresql.standing import look_at_server

        standing = look_at_server(config.store, config.store_schema)
    except StartRefused as error:
        fix = "see docs/boxes.md for the address, and for what the server must be"
        yield CheckResult("log", "failure", str(error), fix)
        return
    from penstock.service.environment import box_of, queue_settings

    yield judge_tables(standing)
    yield from judge_server(standing)
    yield from judge_boxes(standing.boxes, box_of(config), queue_settings(config))


def judge_tables(standing: ServerStanding) -> CheckResult:
    """Whether this release can go on with what is there."""
    from penstock.log.postgresql.schema import VERSION

    server = f"PostgreSQL {standing.settings['server_version']}"
    if standing.tables is None:
        return CheckResult("log", "ok", f"the {standing.where} will be made ({server})")
    found = f"the {standing.where} has version {standing.tables} ({server})"
    if standing.needed > VERSION:
        fix = "install the penstock that made it"
        return CheckResult("log", "failure", f"{found}; this one knows {VERSION}", fix)
    later = ""
    if standing.tables > VERSION:
        later = f"; this one knows {VERSION}, and goes on with it"
    elif standing.tables < VERSION:
        later = f"; {VERSION} when a daemon has started"
    return CheckResult("log", "ok", f"{found}{later}")


def judge_server(standing: ServerStanding) -> Findings:
    """Whether it keeps what it acknowledges, and is what it is taken for."""
    settings = standing.settings
    if standing.lost:
        found = (
            f"settings of the session did not come through: {', '.join(standing.lost)}"
        )
        fix = "name the server itself as `store`, and not a pooler (pgbouncer)"
        yield CheckResult("server", "failure", found, fix)
    if settings["transaction_read_only"] == "on":
        fix = (
            "name the primary, or several hosts with `target_session_attrs=read-write`"
        )
        yield CheckResult("server", "failure", "it takes no writes", fix)
    if settings["server_encoding"] != "UTF8":
        fix = "make one with `createdb --encoding UTF8 --locale C --template template0`"
        found = f"the database is in {settings['server_encoding']}, and cannot hold every text"
        yield CheckResult("server", "failure", found, fix)
    for name in ("fsync", "synchronous_commit"):
        if settings[name] == "off":
            fix = f"set {name} to on: a crash of the server takes what was acknowledged"
            yield CheckResult("server", "failure", f"{name} is off", fix)
    if settings["full_page_writes"] == "off":
        fix = "set it to on, unless the file system writes whole pages for sure"
        found = "full_page_writes is off: a power cut may leave torn pages"
        yield CheckResult("server", "warning", found, fix)
    yield _judge_standby(settings)
    if not standing.private:
        fix = "add `sslmode=verify-full` to the address"
        found = "what runs are given crosses the network as it is"
        yield CheckResult("server", "warning", found, fix)
    if abs(standing.clock_ahead) > CLOCKS_AGREE:
        which = "ahead of" if standing.clock_ahead > 0 else "behind"
        found = f"this box's clock is {abs(standing.clock_ahead):.0f} s {which} the server's"
        fix = "have NTP set it: leases are the server's, but moments and ages are the box's"
        yield CheckResult("server clock", "warning", found, fix)
    for view in standing.old_views:
        name = view.application or "without a name"
        found = (
            f"the session {view.pid} ({name}) is in one transaction since {view.seconds / 60:.0f} min:"
            " each commit of the log takes longer until it ends"
        )
        fix = f"end what it does, or `SELECT pg_terminate_backend({view.pid})`"
        yield CheckResult("server", "warning", found, fix)


def _judge_standby(settings: Mapping[str, str]) -> CheckResult:
    names, level = settings["synchronous_standby_names"], settings["synchronous_commit"]
    if names and level in WAITS:
        found = f"each commit is also at a synchronous standby ({names}, {level})"
        return CheckResult("standby", "ok", found)
    if names:
        found = f"there is a synchronous standby, and synchronous_commit is {level}: nobody waits for it"
        return CheckResult("standby", "warning", found, "set synchronous_commit to on")
    found = "no synchronous standby"
    fix = (
        "a failover to one that lags takes the newest commits: that is noticed, and the log gets a new"
        " epoch; `synchronous_standby_names` spares you that"
    )
    return CheckResult("standby", "ok", found, fix)


def judge_boxes(
    boxes: Sequence[BoxOnServer], own: str, settings: Mapping[str, Any]
) -> Findings:
    """Those that share the log: whether one is gone, and whether all say the same of the one queue."""
    for box in boxes:
        if box.lease_left > 0:
            continue
        found = (
            f"{box.box} is silent, and its lease is over since {-box.lease_left:.0f} s"
        )
        fix = "look after that box; others that are there go on with its runs"
        yield CheckResult("boxes", "warning", found, fix)
    there = [box for box in boxes if box.lease_left > 0]
    if there:
        names = ", ".join(f"{box.box} ({box.version})" for box in there)
        yield CheckResult("boxes", "ok", names)
    if len({box.version for box in there if box.version}) > 1:
        fix = "install the newest everywhere: what is new works once all boxes know it"
        yield CheckResult("boxes", "warning", "they are of several versions", fix)
    for box in there:
        if box.box == own:
            continue
        for name, value in sorted(settings.items()):
            if name in box.settings and box.settings[name] != value:
                found = f"{name} is {value} here, and {box.settings[name]} at {box.box}"
                fix = (
                    "have all boxes say the same: each judges the one queue by its own"
                )
                yield CheckResult("settings", "warning", found, fix)
