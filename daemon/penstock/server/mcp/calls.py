"""What the tools do. Each is given its validated arguments and gives plain JSON; none streams."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio
from pydantic_core import from_json

from penstock.log.filters import parse_filter
from penstock.log.newest_output import newest_output
from penstock.log.projections import AskView, RunView
from penstock.runs.core import Core
from penstock.runs.reader import LOG_TYPES
from penstock.runs.run_scopes import RunScope
from penstock.server.coding_tasks import CodingTasks
from penstock.server.encoders import OUTPUT_STREAMS
from penstock.server.events_page import read_page
from penstock.server.json_bodies import (
    boxes_json,
    kinds_json,
    made_schedule_json,
    open_asks,
    run_told_json,
    schedule_json,
    status_line,
    submit_json,
)
from penstock.server.judge import ScopeJudge
from penstock.server.mcp import arguments as a
from penstock.server.mcp.kind_tools import misfits_of_inputs
from penstock.server.mcp.misfits import Misfits, taken
from penstock.server.shutdown import Shutdown
from penstock.words.api import (
    RearrangeRequest,
    RetryRequest,
    ScheduleRequest,
    SlotsRequest,
    SubmitRequest,
)
from penstock.words.durations import local_zone_name
from penstock.words.errors import Conflict, NotFound, Refused, Terminal
from penstock.words.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: how it addresses the daemon, and how it is told of progress."""

    base: str
    #: Takes a number that grows and a sentence; does nothing for a caller that asked for none.
    report: Callable[[int, str], Awaitable[None]]
    #: What programs of the runs it starts are to find; None: what the daemon has.
    surroundings: Surroundings | None = None
    #: Where it calls in somebody's trace, as it says.
    traceparent: str | None = None
    #: Asks its user a run's question while it waits: the answer, or None if the user gave none. None
    #: for a caller that cannot be asked in the midst of a call.
    ask: Callable[[AskView], Awaitable[str | None]] | None = None
    #: On behalf of which run it calls; None: the owner calls.
    scope: RunScope | None = None


ToolCall = Callable[[Any, Caller], Awaitable[dict[str, Any]]]


def tool_calls(core: Core, shutdown: Shutdown) -> Mapping[str, ToolCall]:
    """What each tool does, by its name."""
    return {
        **_submit_calls(core, shutdown),
        **_look_calls(core),
        **_control_calls(core),
        **_daemon_calls(core),
        **_task_calls(core),
    }


def _submit_calls(core: Core, shutdown: Shutdown) -> dict[str, ToolCall]:
    waiting, judge = RunWaiter(core, shutdown), ScopeJudge(core)

    async def start_run(request: SubmitRequest, caller: Caller) -> dict[str, Any]:
        kind = core.kinds.get(request.kind)
        if kind and (faults := misfits_of_inputs(kind, request.inputs, at="inputs")):
            raise Misfits(faults)
        wanted, parent_id = await judge.child(
            caller.scope, request.in_trace(caller.traceparent)
        )
        submitted = await core.submitter.submit(
            wanted, surroundings=caller.surroundings, parent_id=parent_id
        )
        return submit_json(submitted, caller.base)

    async def start_or_set(request: SubmitRequest, caller: Caller) -> dict[str, Any]:
        # A kind's own tool has no word for schedules.
        if not isinstance(request, a.StartRun) or request.every is None:
            return await start_run(request, caller)
        await judge.admit(caller.scope, "nothing")
        wanted = request.model_dump(exclude={"every", "run_id"}, exclude_unset=True)
        name, zone = _needed("run_id", request.run_id), local_zone_name()
        schedule = {"name": name, "timing": request.every, "zone": zone, "run": wanted}
        told = taken(ScheduleRequest, schedule)
        row = await core.schedules.set(told, caller.surroundings)
        return await made_schedule_json(core, row)

    async def retry_run(args: a.RetryRun, caller: Caller) -> dict[str, Any]:
        wanted = taken(RetryRequest, args.model_dump(exclude={"run_id"}))
        submitted = await core.submitter.retry(
            args.run_id, wanted, traceparent=caller.traceparent
        )
        return submit_json(submitted, caller.base)

    async def wait_run(args: a.WaitRun, caller: Caller) -> dict[str, Any]:
        await waiting.wait(args, caller)
        return await run_told_json(core, args.run_id)

    return {
        "start_run": start_or_set,
        "retry_run": retry_run,
        "wait_run": wait_run,
    }


def _look_calls(core: Core) -> dict[str, ToolCall]:
    async def get_run(args: a.OneRun, _caller: Caller) -> dict[str, Any]:
        return await run_told_json(core, args.run_id)

    async def list_runs(args: a.ListRuns, _caller: Caller) -> dict[str, Any]:
        wanted = parse_filter(args.q, before=args.before, limit=args.limit)
        runs, following = await core.reader.list(wanted)
        return {"runs": runs, "next": following}

    async def read_events(args: a.ReadEvents, _caller: Caller) -> dict[str, Any]:
        page = await read_page(
            core,
            args.run_id,
            args.after,
            args.limit,
            after_id=args.after_id,
            max_bytes=a.PAGE_BYTES,
        )
        return dict(from_json(page))

    async def read_output(args: a.ReadOutput, _caller: Caller) -> dict[str, Any]:
        return (await _newest_output(core, args)).model_dump(mode="json")

    return {
        "get_run": get_run,
        "list_runs": list_runs,
        "read_events": read_events,
        "read_output": read_output,
    }


async def _newest_output(core: Core, args: a.ReadOutput) -> a.Printed:
    """The end of what a run printed, as much of it as an agent is given at once."""
    view = await core.reader.view(args.run_id)
    newest = await newest_output(
        partial(core.store.read, view.run_id, types=LOG_TYPES),
        view.position,
        lines=args.tail,
        most_bytes=a.TAIL_BYTES,
        after=args.after,
        streams=OUTPUT_STREAMS[args.stream],
    )
    some = newest.last_lines(args.tail).cut(a.TAIL_BYTES)
    lines = some.shown(args.tail, a.LONGEST_LINE)
    return a.Printed(
        run_id=view.run_id,
        state=str(view.state),
        text="".join(f"{line}\n" for line in lines),
        lines=len(lines),
        earlier=some.earlier,
        missing_bytes=some.missing,
        next=view.position,
    )


def _control_calls(core: Core) -> dict[str, ToolCall]:
    async def cancel_run(args: a.CancelRun, _caller: Caller) -> dict[str, Any]:
        receipt = await core.control.cancel(args.run_id, args.reason, wait=args.wait)
        return receipt.model_dump(mode="json")

    async def answer(args: a.GiveAnswer, _caller: Caller) -> dict[str, Any]:
        await core.control.answer(args.run_id, args.name, args.answer, by="mcp")
        return args.model_dump(mode="json")

    return {"cancel_run": cancel_run, "answer": answer}


def _daemon_calls(core: Core) -> dict[str, ToolCall]:
    async def list_pipelines(args: a.ListPipelines, _caller: Caller) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if args.kind is None:
            return kinds_json(core.kinds.values())
        if args.kind not in core.kinds:
            known = ", ".join(sorted(core.kinds))
            raise NotFound(
                f"no kind {args.kind[:80]!r} is installed (there are: {known})"
            )
        return kinds_json([core.kinds[args.kind]])

    async def queue_status(_args: a.NoArguments, _caller: Caller) -> dict[str, Any]:
        rows = await core.schedules.rows()
        schedules = [schedule_json(row) for row in rows]
        told = {**core.statistics().to_json(), "schedules": schedules}
        boxes = await core.boxes.told()
        return told | boxes_json(boxes) if len(boxes) > 1 else told

    async def change_queue(args: a.ChangeQueue, caller: Caller) -> dict[str, Any]:
        if args.action in a.OF_QUEUED:
            run_id = _needed("run_id", args.run_id)
            await core.line.rearrange(run_id, _rearranged(args))
            return await run_told_json(core, run_id)
        if args.run_id is not None and args.action in ("pause", "resume"):
            pauses = args.action == "pause"
            act = core.suspension.pause if pauses else core.suspension.resume
            await act(args.run_id)
            return await run_told_json(core, args.run_id)
        await _change_all(core, args)
        return await queue_status(a.NoArguments(), caller)

    return {
        "list_pipelines": list_pipelines,
        "queue_status": queue_status,
        "change_queue": change_queue,
    }


def _needed(name: str, value: str | None) -> str:
    if not value:
        raise Refused(name, "is needed for this action")
    return value


def _rearranged(args: a.ChangeQueue) -> RearrangeRequest:
    """What is asked of a run in line. Misfits for a priority that is none."""
    by_action: dict[str, dict[str, Any]] = {
        "first": {"move": "first"},
        "last": {"move": "last"},
        "priority": {"priority": args.value.upper()},
        "stash": {"stashed": True},
        "enqueue": {"stashed": False},
    }
    return taken(RearrangeRequest, by_action[args.action])


async def _change_all(core: Core, args: a.ChangeQueue) -> None:
    """The queue, a group, or a schedule."""
    match args.action:
        case "pause":
            await core.queue.pause(args.group, args.value)
        case "resume":
            await core.queue.resume(args.group)
        case "unschedule":
            await core.schedules.remove(_needed("value", args.value))
        case "slots":
            # Nothing: as the configuration has it.
            said = args.value
            number = int(said) if said.isascii() and said.isdecimal() else said or None
            request = taken(SlotsRequest, {"group": args.group, "slots": number})
            await core.queue.set_slots(request.group, request.slots)


def _task_calls(core: Core) -> dict[str, ToolCall]:
    tasks = CodingTasks(core)

    async def start_coding_task(args: a.CodingTask, caller: Caller) -> dict[str, Any]:
        task = await tasks.submit(
            args.task(),
            caller.base,
            more=args.more(),
            surroundings=caller.surroundings,
            traceparent=caller.traceparent,
        )
        return task.model_dump(mode="json")

    async def get_task_status(args: a.OneTask, caller: Caller) -> dict[str, Any]:
        task = await tasks.look(args.task_id, caller.base)
        return task.model_dump(mode="json")

    return {
        "start_coding_task": start_coding_task,
        "get_task_status": get_task_status,
    }


class RunWaiter:
    """Waits for runs, and reports how they come along."""

    def __init__(self, core: Core, shutdown: Shutdown) -> None:
        self._core, self._shutdown = core, shutdown
        self._numbers = itertools.count(1)

    async def wait(self, args: a.WaitRun, caller: Caller) -> None:
        """Until the run has ended, asks something, its seconds are over, or the daemon stops."""
        view_of, run_id = self._core.reader.view, args.run_id
        view = await view_of(run_id)
        deadline = trio.current_time() + args.seconds
        with self._core.bus.subscribe(
            run_id, view.position, name=f"mcp-wait-{next(self._numbers)}", kind="mcp"
        ) as subscription:
            over = _is_over(view, args.until)
            while not over or await self._ask(view, caller, deadline):
                left = max(deadline - trio.current_time(), 0.0)
                with self._shutdown.until_streams_end(left) as scope:
                    batch = await anext(subscription, None)
                if scope.cancelled_caught or batch is None:
                    break
                view = await view_of(run_id)
                # The view is live: it may end while the caller is told of what came before.
                over = _is_over(view, args.until)
                if batch.facts:
                    # Outside the scope: a deadline must not cut a notification in two.
                    await caller.report(batch.facts[-1].sequence, status_line(view))

    async def _ask(self, view: RunView, caller: Caller, deadline: float) -> bool:
        """Have the caller's user answer what the run asks; false if there is no answer to be had."""
        asks = open_asks(view)
        if caller.ask is None or not asks:
            return False
        for name, ask in asks.items():
            answer: str | None = None
            left = max(deadline - trio.current_time(), 0.0)
            with self._shutdown.until_streams_end(left):
                answer = await caller.ask(ask)
            if answer is None:
                return False
            # Somebody else may have been faster, or the run has ended: then that is the answer.
            with suppress(Conflict, Terminal):
                await self._core.control.answer(view.run_id, name, answer, by="mcp")
        return True


def _is_over(view: RunView, until: str) -> bool:
    """Whether there is nothing more to wait for."""
    return view.ended or (until == "asks" and bool(open_asks(view)))
