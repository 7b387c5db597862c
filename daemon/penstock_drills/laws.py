"""The laws, checked on a stage: in its log, in its memory, and in what its people were told."""

from __future__ import annotations

import re
from datetime import timedelta

import trio

from penstock.log.audit import audit_log
from penstock.log.kept import Bounds, RunRow
from penstock.log.projections import fold
from penstock.log.sqlite.older_logs import find_windows
from penstock.log.tables.rows import (
    IN_LINE,
    SELECT_EVENTS,
    SELECT_RUNS,
    recorded,
    run_row,
    state_in,
    to_micros,
)
from penstock.words.events import (
    TERMINAL_TYPES,
    ArtifactPartial,
    AskAnswered,
    AskRaised,
    AskWithdrawn,
    Log,
    RunCancelled,
    RunFailed,
)
from penstock.words.lifecycle import (
    COMPLETED,
    MOVING_TYPES,
    PARKED_STATES,
    SLOT_STATES,
    TERMINAL_STATES,
    State,
    next_state,
)
from penstock.words.printed import size_of
from penstock.words.recorded import Recorded
from penstock.words.wait_reason import RESTART_ASK
from penstock_drills.simulator import Stage
from penstock_drills.waiting_laws import check_calm, check_waits

# How many runs hold a slot, and how many could take one.
_SLOTS = (
    f"SELECT coalesce(sum({state_in(SLOT_STATES)}), 0),"
    f" coalesce(sum({state_in(PARKED_STATES)} AND wants_slot"
    f" OR {IN_LINE} AND NOT open_prerequisites AND NOT ? AND key NOT IN"
    " (SELECT run FROM plans WHERE stashed OR not_before > ?)), 0)"
    " FROM runs WHERE ended_at IS NULL AND key > 0"
)

_OPEN_ASKS = (
    "SELECT run_id, name FROM asks CROSS JOIN runs ON runs.key = asks.run"
    " WHERE asks.state = 'open'"
)

_META = "SELECT name, value FROM meta WHERE name IN (?, ?)"

# Errors that stories ask for, and what becomes of a run without its store.
_EXPECTED = re.compile("asked to|SystemExit: 3|^a drill")
# What becomes of an artifact whose last piece was given up, which only an outage can do.
_EXPECTED_OF_OUTAGE = re.compile("^a piece of .* could not be recorded")

#: Virtual seconds for a new life to begin what it can.
CALM_SECONDS = 1.0
#: What has come due since then has not been claimed yet.
JUST_NOW = timedelta(seconds=0.1)
#: Virtual seconds in which free slots must be given to runs that want them.
SETTLING_SECONDS = 400.0


def log_of(stage: Stage) -> list[Recorded]:
    """Every fact, in position order."""
    return [recorded(c) for c in stage.db.execute(f"{SELECT_EVENTS} ORDER BY position")]


def rows_of(stage: Stage) -> list[RunRow]:
    return [run_row(c) for c in stage.db.execute(f"{SELECT_RUNS} WHERE runs.key > 0")]


def _bounds_of(stage: Stage) -> Bounds:
    names = ("floor", "head")
    return Bounds(**dict(stage.db.execute(_META, names).fetchall()))


def check_log(stage: Stage) -> None:
    """What must hold at every moment, after a kill too."""
    log, all_rows = log_of(stage), rows_of(stage)
    audit = audit_log(log, all_rows, _bounds_of(stage), find_windows(stage.db))
    stage.broken += map(str, audit.findings)
    _check_slots_taken(stage, log)
    _check_asks(stage, log)
    check_errors(stage, log)
    check_waits(stage, log, [row.run_id for row in all_rows])
    facts = {fact.event_id: fact for fact in log}
    for told in stage.notes.acknowledged:
        kept = facts.get(told.event_id)
        if kept is None or kept.position != told.position:
            stage.broken.append(f"the acknowledged fact {told.position} is not there")
        elif not _is_left(told, kept):
            stage.broken.append(f"the acknowledged fact {told.position} was changed")
    rows = {row.run_id: row for row in all_rows}
    for run_id in stage.notes.accepted - rows.keys():
        stage.broken.append(f"the accepted run {run_id} is not there")
    for row in rows.values():
        unmet = [other for other in row.after if rows[other].state != COMPLETED]
        if row.started_at is not None and unmet:
            stage.broken.append(f"{row.run_id} was started before {unmet}")


def _is_left(told: Recorded, kept: Recorded) -> bool:
    """Whether a fact is what somebody was told; of a piece of output its size may be left."""
    if kept.body == told.body:
        return True
    was, left = told.event, kept.event
    return (
        isinstance(was, Log)
        and isinstance(left, Log)
        and left.emptied is True
        and (left.stream, left.bytes) == (was.stream, size_of(was))
    )


def _check_slots_taken(stage: Stage, log: list[Recorded]) -> None:
    """At no moment more runs compute than there are slots."""
    states: dict[str, State | None] = {}
    computing, most = 0, 0
    for fact in log:
        if fact.type not in MOVING_TYPES:
            continue
        before = states.get(fact.run_id)
        after = states[fact.run_id] = next_state(before, fact.type)
        computing += (after in SLOT_STATES) - (before in SLOT_STATES)
        most = max(most, computing)
    if most > stage.config.max_concurrent:
        stage.broken.append(f"{most} runs computed at once")


def _check_asks(stage: Stage, log: list[Recorded]) -> None:
    """Those questions take an answer that were put, and neither answered, taken back nor outlived."""
    waiting: set[tuple[str, str]] = set()
    for fact in log:
        event = fact.event
        if isinstance(event, AskRaised):
            waiting.add((fact.run_id, event.name))
        elif isinstance(event, AskAnswered | AskWithdrawn):
            waiting.discard((fact.run_id, event.name))
        elif fact.type in TERMINAL_TYPES:
            waiting -= {ask for ask in waiting if ask[0] == fact.run_id}
    for run_id, name in waiting ^ set(stage.db.execute(_OPEN_ASKS)):
        stage.broken.append(
            f"whether {run_id} asks {name!r} is not what its facts tell"
        )


def check_errors(stage: Stage, log: list[Recorded]) -> None:
    """No run fails of anything but what it was asked to fail of, or of its store."""
    for fact in log:
        event = fact.event
        silent = isinstance(event, RunCancelled) and event.reason == "abandoned"
        if silent and not stage.abandons:
            stage.broken.append(f"{fact.run_id} was cancelled, and nobody wanted it")
        if not isinstance(event, RunFailed) or event.reason != "error":
            continue
        if not all(_expected(stage, word) for word in event.error.split("; ")):
            stage.broken.append(f"{fact.run_id} failed: {event.error}")


def _expected(stage: Stage, error: str) -> bool:
    if stage.outage and _EXPECTED_OF_OUTAGE.search(error):
        return True
    return _EXPECTED.search(error) is not None


def check_stopped(stage: Stage, *, partials_kept: bool) -> None:
    """What must hold after a daemon has ended in order: nobody owns anything any more."""
    for row in rows_of(stage):
        # A life that ended before its repair leaves what an earlier one owned.
        if row.life == f"life-{stage.lives}":
            stage.broken.append(f"{row.run_id} is {row.state} after the stop")
    if stage.processes.alive:
        stage.broken.append(f"processes are left: {stage.processes.alive}")
    if partials_kept and stage.notes.written:
        _check_texts(stage)


def _check_texts(stage: Stage) -> None:
    """What was written to an artifact is in the log, before the end of its run."""
    kept: dict[tuple[str, int, str], str] = {}
    for fact in log_of(stage):
        if fact.type == "artifact.partial":
            event = fact.event
            assert isinstance(event, ArtifactPartial)
            key = (fact.run_id, event.attempt, event.artifact_id)
            kept[key] = kept.get(key, "") + event.text
    for key, text in stage.notes.written.items():
        if not kept.get(key, "").startswith(text):
            stage.broken.append(f"text of the artifact {key} is lost")


def check_views(stage: Stage) -> None:
    """Live views are what folding the log gives, as far as it is published."""
    table, head = stage.core.table, stage.core.bus.head
    facts = [fact for fact in log_of(stage) if fact.position <= head]
    stories: dict[str, list[Recorded]] = {}
    for fact in facts:
        stories.setdefault(fact.run_id, []).append(fact)
    for run_id, view in table.views.items():
        if view != fold(stories.get(run_id, [])):
            stage.broken.append(f"the view of {run_id} is not what its facts tell")
    states = {run_id: view.state for run_id, view in table.views.items()}
    if states != {run_id: state for run_id, (state, _) in table.queue.states.items()}:
        stage.broken.append("the queue view is not what the views of runs tell")


async def settle(stage: Stage) -> None:
    """All slots can still be used at once; then everything open is ended, and nothing is left."""
    await trio.sleep(CALM_SECONDS)
    check_views(stage)
    check_calm(stage)
    _check_slots(stage)
    await stage.release_surely()
    await _answer_restarts(stage)
    notes, slots = stage.notes, stage.config.max_concurrent
    with trio.move_on_after(SETTLING_SECONDS) as waiting:
        async with trio.open_nursery() as nursery:
            for number in range(slots):
                name = f"probe-{stage.lives}.{number}"
                nursery.start_soon(_probe, stage, name)
        await notes.all_probing.wait()
    if waiting.cancelled_caught:
        stage.broken.append(f"only {notes.probing} of {slots} slots can be used")
    check_views(stage)
    with trio.move_on_after(SETTLING_SECONDS) as ending:
        await stage.core.shutdown(cancel_queued=True)
    if ending.cancelled_caught:
        stage.broken.append("the runs cannot be ended")
        return
    # A store that broke in the last commit ends the shutdown too, and the daemon in this moment.
    await trio.lowlevel.checkpoint()
    _check_memory(stage)


async def _answer_restarts(stage: Stage) -> None:
    """A run that waits for a person, and those that wait for it, may fill the queue for ever."""
    with stage.person("answers restarts"):
        for ask in await stage.core.reader.asks():
            if ask.name == RESTART_ASK:
                by = "a person"
                await stage.core.control.answer(ask.run_id, ask.name, "fail", by)


def _check_slots(stage: Stage) -> None:
    """No slot is free while a run that could compute waits for it."""
    held_back = bool(stage.core.table.paused)
    # What has come due in this very moment is on its way.
    now = to_micros(stage.core.now() - JUST_NOW)
    busy, wanting = stage.db.execute(_SLOTS, (held_back, now)).fetchone()
    if wanting and busy < stage.config.max_concurrent and not stage.doubtful:
        stage.broken.append(f"{busy} runs compute while {wanting} wait for a slot")


async def _probe(stage: Stage, run_id: str) -> None:
    await stage.submit_surely(run_id=run_id, kind="probe", priority="CRITICAL")


def _check_memory(stage: Stage) -> None:
    """Nothing is remembered of runs that have ended."""
    core = stage.core
    told = core.statistics()
    for what, left in {
        "views": dict(core.table.views),
        "executions": dict(core.table.executions),
        "subscribers": core.bus.subscribers(),
        "submits in line": told.waiting_submits,
        "entering submits": core.submitter.admission.statistics().entering,
        "pending decisions": core.recorder.statistics().pending,
    }.items():
        if left:
            stage.broken.append(f"{what} are left after all runs ended: {left}")
    for row in rows_of(stage):
        if row.state not in TERMINAL_STATES:
            stage.broken.append(f"{row.run_id} is {row.state} after all was cancelled")
