"""Runs and tasks over REST: submit, look, cancel, retry, and what people say to them."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import trio

from penstock.log.filters import parse_filter
from penstock.runs.core import Core
from penstock.runs.live_output import COMING_SECONDS, LiveOutput
from penstock.runs.submit import Submitted
from penstock.server.coding_tasks import CodingTasks
from penstock.server.http_answer import HttpAnswer, json_answer
from penstock.server.json_bodies import ask_json, submit_json
from penstock.server.judge import ScopeJudge
from penstock.server.routes import Call, Handler
from penstock.words.api import (
    AnswerRequest,
    BugReportRequest,
    CancelRequest,
    EditRequest,
    InterventionRequest,
    RearrangeRequest,
    RetryRequest,
    RunRequest,
    SelectionReply,
    TaskRequest,
    WhyRequest,
    read_json,
)
from penstock.words.errors import AskNotFound
from penstock.words.live_frames import PREFERENCE
from penstock.words.placement import stays

#: Runs whose numbers are told beside reasons: an ended one is read from the store.
MOST_NUMBERED = 100


def task_handlers(core: Core) -> dict[str, Handler]:
    """The handlers of `/tasks`, by the name of their route."""
    tasks = CodingTasks(core)

    async def create_task(call: Call) -> HttpAnswer:
        request = read_json(TaskRequest, call.body)
        task = await tasks.submit(
            request,
            call.base,
            traceparent=call.headers.get("traceparent"),
            wait=call.query["wait"],
        )
        return json_answer(task)

    async def get_task(call: Call) -> HttpAnswer:
        return json_answer(await tasks.look(call.run_id, call.base))

    return {"create_task": create_task, "get_task": get_task}


def run_handlers(core: Core, judge: ScopeJudge) -> dict[str, Handler]:
    """The handlers that submit runs, by the name of their route."""

    async def submit(call: Call) -> HttpAnswer:
        sent = read_json(RunRequest, call.body)
        request = sent.in_trace(call.headers.get("traceparent"))
        if call.scope is not None or not _prefers_live(call):
            return await _submit(call, request, None)
        run_id = request.run_id or core.environment.new_run_id()
        request = request.model_copy(update={"run_id": run_id})
        with core.live_outputs.promising(run_id) as live:
            return await _submit(call, request, live)

    async def _submit(
        call: Call, request: RunRequest, live: LiveOutput | None
    ) -> HttpAnswer:
        caller = request.caller
        wanted, parent_id = await judge.child(call.scope, request)
        submitted = await core.submitter.submit(
            wanted,
            parent_id=parent_id,
            surroundings=None if caller is None else caller.surroundings(),
            wait=call.query["wait"],
        )
        here = stays(submitted.view.needs, core.table.place)
        if kept := live is not None and submitted.created and here:
            live.keep_until(trio.current_time() + COMING_SECONDS)
        # What another box may execute is told by the log alone.
        return accepted(call, submitted, live=kept)

    async def retry(call: Call) -> HttpAnswer:
        submitted = await core.submitter.retry(
            call.run_id,
            read_json(RetryRequest, call.body, empty=b"{}"),
            wait=call.query["wait"],
            traceparent=call.headers.get("traceparent"),
        )
        return accepted(call, submitted)

    return {"submit": submit, "retry": retry}


def look_handlers(core: Core) -> dict[str, Handler]:
    """The handlers that look at runs, by the name of their route."""

    async def list_runs(call: Call) -> HttpAnswer:
        query = call.query
        wanted = parse_filter(query["q"], before=query["before"], limit=query["limit"])
        runs, following = await core.reader.list(wanted)
        return json_answer({"runs": runs, "next": following})

    async def get_run(call: Call) -> HttpAnswer:
        run = await core.reader.reply(call.run_id)
        # All that is told of a run changes with a fact of it; another log counts anew.
        tag = {"ETag": f'"{core.epoch}-{run.position}"'}
        if tag["ETag"] in _tags(call.headers.get("if-none-match", "")):
            return HttpAnswer(304, headers=tag)
        return json_answer(run, headers=tag)

    async def selection(call: Call) -> HttpAnswer:
        runs = await core.selection.select(call.query["word"])
        return json_answer(SelectionReply(runs=tuple(runs)))

    async def why(call: Call) -> HttpAnswer:
        reasons = await core.why(call.run_id)
        return json_answer(reasons.to_json())

    async def whys(call: Call) -> HttpAnswer:
        found = await core.whys(read_json(WhyRequest, call.body).runs)
        named = dict.fromkeys(run for w in found for r in w.reasons for run in r.runs)
        numbers = await core.reader.numbers(list(named)[:MOST_NUMBERED])
        return json_answer({"runs": [w.to_json() for w in found], "numbers": numbers})

    return {
        "list_runs": list_runs,
        "get_run": get_run,
        "selection": selection,
        "why": why,
        "whys": whys,
    }


def _tags(header: str) -> set[str]:
    """The entity tags that a client names; whether they are weak does not matter to a reader."""
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


def control_handlers(core: Core) -> dict[str, Handler]:
    """The handlers of what is said to a run, by the name of their route."""

    async def cancel(call: Call) -> HttpAnswer:
        request = read_json(CancelRequest, call.body, empty=b"{}")
        wait = call.query["wait"]
        receipt = await core.control.cancel(call.run_id, request.reason, wait=wait)
        return json_answer(receipt, 202 if receipt.under_way and not wait else 200)

    async def pause_run(call: Call) -> HttpAnswer:
        await core.suspension.pause(call.run_id)
        return json_answer(await core.reader.reply(call.run_id))

    async def resume_run(call: Call) -> HttpAnswer:
        await core.suspension.resume(call.run_id)
        return json_answer(await core.reader.reply(call.run_id))

    async def rearrange(call: Call) -> HttpAnswer:
        request = read_json(RearrangeRequest, call.body)
        await core.line.rearrange(call.run_id, request)
        return json_answer(await core.reader.reply(call.run_id))

    async def edit(call: Call) -> HttpAnswer:
        request = read_json(EditRequest, call.body)
        await core.line.edit(call.run_id, request)
        return json_answer(await core.reader.reply(call.run_id))

    async def intervene(call: Call) -> HttpAnswer:
        request = read_json(InterventionRequest, call.body)
        recorded = await core.control.intervene(call.run_id, request.text)
        return json_answer(recorded.wire(), 202)

    async def report_bug(call: Call) -> HttpAnswer:
        request = read_json(BugReportRequest, call.body)
        recorded, judgement = await core.control.report_bug(call.run_id, request)
        return json_answer({**judgement.shown(), "position": recorded.position})

    return {
        "cancel": cancel,
        "pause_run": pause_run,
        "resume_run": resume_run,
        "rearrange": rearrange,
        "edit": edit,
        "intervene": intervene,
        "report_bug": report_bug,
    }


def ask_handlers(core: Core) -> dict[str, Handler]:
    """The handlers of questions, by the name of their route."""

    async def list_asks(_call: Call) -> HttpAnswer:
        rows = await core.reader.asks()
        asks = [ask_json(row, core.reader.ask_details(row)) for row in rows]
        return json_answer({"asks": asks})

    async def get_ask(call: Call) -> HttpAnswer:
        name = call.path["name"]
        rows = await core.reader.asks(call.run_id, only_open=False)
        for row in rows:
            if row.name == name:
                return json_answer(ask_json(row, core.reader.ask_details(row)))
        raise AskNotFound(run_id=call.run_id, name=name)

    async def answer(call: Call) -> HttpAnswer:
        request = read_json(AnswerRequest, call.body)
        run_id, name = call.run_id, call.path["name"]
        await core.control.answer(run_id, name, request.answer, by="rest")
        return json_answer({"run_id": run_id, "name": name, "answer": request.answer})

    return {"list_asks": list_asks, "get_ask": get_ask, "answer": answer}


def _prefers_live(call: Call) -> bool:
    """Whether the client would follow the run's output as it is read."""
    wanted = call.headers.get("prefer", "").lower().split(",")
    return PREFERENCE in map(str.strip, wanted)


def accepted(call: Call, submitted: Submitted, *, live: bool = False) -> HttpAnswer:
    """202 with the new run, or 200 with the one that was there."""
    # Below a proxy's sub-path, if there is one.
    path, run_id = urlsplit(call.base).path, submitted.view.run_id
    location = {"Location": f"{path}/runs/{quote(run_id, safe='')}"}
    reply = submit_json(submitted, call.base, live=live)
    return json_answer(reply, 202 if submitted.created else 200, location)
