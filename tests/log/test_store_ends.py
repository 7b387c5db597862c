"""Every store: how runs end and who is told, and questions (ST-12)."""

from __future__ import annotations

import pytest

from fakes.contract import AnyStore, completed, failed, get, one, types
from fakes.stores import (
    append,
    at,
    claim,
    enqueue,
    fact,
    start,
)
from penstock.log.kept import RunRow
from penstock.log.results import CancelAnswer
from penstock.log.writes import Answer, Complete, Park, Release, RequestCancel, Unpark
from penstock.words.errors import (
    AlreadyAnswered,
    AskNotFound,
    Conflict,
    Refused,
    Terminal,
)
from penstock.words.events import AskRaised, AskWithdrawn, Log, RunRequeued, RunWaiting
from penstock.words.lifecycle import terminal
from penstock.words.values import new_event_id
from penstock.words.wait_reason import OLD_RESTART_ASK, RESTART_ASK, Waiting


async def test_a_run_ends_once(store: AnyStore) -> None:
    """Law 1"""
    row = await start(store)
    write = completed(row, {"n": 1})
    concluded = await one(store, write)
    ended = await get(store, "r1")
    assert (ended.state, ended.outcome) == (
        "completed",
        {"result": {"n": 1}, "details": {}},
    )
    assert (await one(store, write)).recorded == concluded.recorded
    for other in (
        completed(row),
        failed(row),
        Release(row.fence, fact("r1", RunRequeued(reason="crash"))),
    ):
        with pytest.raises(Terminal):
            await one(store, other)
    assert (await types(store, "r1"))[-1] == "run.completed"
    assert await store.open_runs() == []


async def test_an_end_in_another_batch_or_the_same_tells_the_same(
    store: AnyStore,
) -> None:
    """ST-09: a conclusion whose fate was unknown is told whole when it is tried again."""
    row = await start(store, "a")
    await store.commit(
        [
            enqueue("b", after=("a",)),
            enqueue("a.c", parent_id="a"),
            claim(),
            enqueue("z"),
        ]
    )
    write = failed(row)
    first = await one(store, write)
    await one(store, append("z", Log(text="later")))
    again = await one(store, write)
    assert (again.recorded, again.ended, again.signalled) == (
        first.recorded,
        ("b",),
        ("a.c",),
    )


async def test_moving_facts_need_a_decision_of_their_own(store: AnyStore) -> None:
    row = await start(store)
    with pytest.raises(Conflict):
        await one(store, append("r1", terminal("completed"), fence=row.fence))
    with pytest.raises(Conflict):
        await one(store, Complete(row.fence, fact("r1", Log(text="x"))))
    with pytest.raises(Conflict):
        await one(store, Release(row.fence, fact("r1", terminal("completed"))))
    assert (await get(store, "r1")).state == "running"


async def test_a_queued_run_is_cancelled_where_it_stands(store: AnyStore) -> None:
    """CN-02 CN-03"""
    await one(store, enqueue())
    answer = await one(store, RequestCancel("r1", "no need", at()))
    assert isinstance(answer, CancelAnswer)
    assert (answer.outcome, answer.ended) == ("cancelled", ("r1",))
    again = await one(store, RequestCancel("r1", "no need", at()))
    assert (again.outcome, again.recorded) == ("already_terminal", ())
    assert (await one(store, claim())).started == ()
    assert (await get(store, "r1")).reason == "no need"


async def test_an_executing_run_is_asked_to_end_once(store: AnyStore) -> None:
    """CN-03"""
    row = await start(store)
    answer = await one(store, RequestCancel("r1", "stop", at()))
    assert (answer.outcome, answer.signalled) == ("signalled", ("r1",))
    again = await one(store, RequestCancel("r1", "stop!", at()))
    assert (again.outcome, again.recorded) == ("signalled", ())
    assert (await get(store, "r1")).cancel_requested == "stop"
    await one(store, Release(row.fence, fact("r1", RunRequeued(reason="shutdown"))))
    released = await get(store, "r1")
    assert (released.state, released.reason) == ("cancelled", "stop")


async def test_a_cancel_recorded_before_the_end_keeps_the_proof(
    store: AnyStore,
) -> None:
    """CN-06: the end was chosen as something else while the request was on its way."""
    kept = {"method": "session", "pids": [7], "survivors": "unknown"}
    for run_id, event in (
        ("r1", terminal("completed", result=1)),
        ("r2", RunRequeued(reason="shutdown")),
    ):
        row = await start(store, run_id)
        await one(store, RequestCancel(run_id, "stop", at()))
        ends = Complete if event.type == "run.completed" else Release
        await one(store, ends(row.fence, fact(run_id, event), receipt=kept))
        (told,) = await store.tree(run_id)
        assert (told.receipt, told.ended_at is None) == (kept, False)


async def test_the_tree_of_a_run_is_all_that_is_below_it(store: AnyStore) -> None:
    """CN-06: what has ended and left nothing is not told, the run itself always is."""
    assert await store.tree("r") == []
    rows = {}
    for run_id in ("r", "r.a", "r.a.b", "r.c", "other"):
        parent = run_id.rpartition(".")[0] or None
        rows[run_id] = await start(store, run_id, parent_id=parent)
    kept = {"method": "session", "pids": [7], "survivors": [7]}
    lost = terminal("failed", reason="error", error="x", details={"receipt": kept})
    await one(store, Complete(rows["r.a.b"].fence, fact("r.a.b", lost)))
    assert [run.run_id for run in await store.tree("r")] == ["r", "r.a", "r.a.b", "r.c"]
    assert [run.run_id for run in await store.tree("r.a")] == ["r.a", "r.a.b"]
    for run_id in ("r.c", "r.a", "r"):
        await one(
            store, Complete(rows[run_id].fence, fact(run_id, terminal("completed")))
        )
    told = {run.run_id: run.receipt for run in await store.tree("r")}
    assert told == {"r": None, "r.a.b": kept}


async def test_a_cancel_before_the_submit_is_remembered(store: AnyStore) -> None:
    """CN-02"""
    assert (
        await one(store, RequestCancel("r1", "early", at()))
    ).outcome == "tombstoned"
    await one(store, enqueue("r1", capacity=0))
    row = await get(store, "r1")
    assert (row.state, row.reason) == ("cancelled", "early")
    assert await types(store, "r1") == ["run.queued", "run.cancelled"]


async def test_cancel_and_failure_reach_all_children(store: AnyStore) -> None:
    row = await start(store, "p")
    await store.commit(
        [enqueue("p.a", parent_id="p"), claim(), enqueue("p.a.b", parent_id="p.a")]
    )
    answer = await one(store, RequestCancel("p", "stop", at()))
    assert answer.signalled == ("p", "p.a")
    assert answer.ended == ("p.a.b",)
    await one(store, enqueue("p.c", parent_id="p"))
    assert (await get(store, "p.c")).state == "cancelled"
    await one(
        store, Complete(row.fence, fact("p", terminal("cancelled", reason="stop")))
    )
    await one(store, enqueue("p.d", parent_id="p"))
    assert (await get(store, "p.d")).state == "cancelled"


async def test_everything_can_be_cancelled_at_once(store: AnyStore) -> None:
    await start(store, "a")
    await store.commit([enqueue("b"), enqueue("c", after=("b",))])
    answer = await one(store, RequestCancel("", "end", at(), all_open=True))
    assert (answer.signalled, answer.ended) == (("a",), ("b", "c"))
    quiet = await one(store, RequestCancel("", "end", at(), all_open=True))
    assert quiet.recorded == ()


def answer_to(name: str, text: str) -> Answer:
    return Answer("r1", name, text, "me", at(), new_event_id())


async def test_a_question_is_answered_once(store: AnyStore) -> None:
    row = await start(store)
    ask = AskRaised(name="q", question="Which?", choices=("a", "b"), default="a")
    await one(store, append("r1", ask, fence=row.fence))
    assert [(a.name, a.choices, a.default) for a in await store.asks()] == [
        ("q", ("a", "b"), "a")
    ]
    with pytest.raises(Refused):
        await one(store, answer_to("q", "c"))
    with pytest.raises(AskNotFound):
        await one(store, answer_to("p", "a"))
    write = answer_to("q", "b")
    first = await one(store, write)
    assert (await one(store, write)).recorded == first.recorded
    with pytest.raises(AlreadyAnswered):
        await one(store, answer_to("q", "a"))
    with pytest.raises(Conflict):
        await one(store, append("r1", ask, fence=row.fence))
    assert await store.asks() == []
    (kept,) = await store.asks("r1", only_open=False)
    assert (kept.state, kept.answer, kept.answered_by) == ("answered", "b", "me")


async def test_a_question_that_was_taken_back_takes_no_answer(
    store: AnyStore,
) -> None:
    """WF-09: nor is it taken back twice, or after its answer, or by a run that did not put it."""
    row = await start(store)
    for name in ("q", "p"):
        await one(
            store, append("r1", AskRaised(name=name, question="?"), fence=row.fence)
        )
    back = append("r1", AskWithdrawn(name="q", reason="the turn ended"))
    await one(store, back)
    assert (await one(store, back)).duplicate
    with pytest.raises(AlreadyAnswered, match="took its question 'q' back"):
        await one(store, answer_to("q", "a"))
    await one(store, answer_to("p", "a"))
    for name, error in (
        ("q", AlreadyAnswered),
        ("p", AlreadyAnswered),
        ("x", AskNotFound),
        (RESTART_ASK, AskNotFound),
    ):
        with pytest.raises(error):
            await one(store, append("r1", AskWithdrawn(name=name, reason="again")))
    kept = await store.asks("r1", only_open=False)
    assert {ask.name: ask.state for ask in kept} == {"q": "withdrawn", "p": "answered"}
    assert await store.asks() == []


async def test_an_ended_run_has_no_open_questions(store: AnyStore) -> None:
    row = await start(store)
    await one(store, append("r1", AskRaised(name="q", question="?"), fence=row.fence))
    await one(store, completed(row))
    assert await store.asks() == []
    with pytest.raises(AlreadyAnswered):
        await one(store, answer_to("q", "a"))


@pytest.mark.parametrize(("text", "state"), [("requeue", "queued"), ("fail", "failed")])
async def test_a_person_decides_about_an_interrupted_run(
    store: AnyStore, text: str, state: str
) -> None:
    """Law 5"""
    row = await start(store)
    released = await one(
        store, Release(row.fence, fact("r1", RunWaiting(reason=RESTART_ASK)))
    )
    assert [f.type for f in released.recorded] == ["run.waiting", "ask.raised"]
    assert [a.name for a in await store.asks()] == [RESTART_ASK]
    assert (await get(store, "r1")).life is None
    await one(store, answer_to(RESTART_ASK, text))
    assert (await get(store, "r1")).state == state


async def test_a_parked_run_can_be_left_to_a_person(store: AnyStore) -> None:
    """Law 5: a stop or a restart may find it parked."""
    row = await start(store)
    await store.commit([Park(row.fence, Waiting("ask", "x"), at()), Unpark(row.fence)])
    await one(store, Release(row.fence, fact("r1", RunWaiting(reason=RESTART_ASK))))
    assert (await one(store, claim())).unparked == ()
    assert (await get(store, "r1")).reason == RESTART_ASK


async def interrupt(store: AnyStore, row: RunRow, reason: str = RESTART_ASK) -> None:
    """A restart leaves the run to a person."""
    await one(store, Release(row.fence, fact(row.run_id, RunWaiting(reason=reason))))


async def test_a_runs_own_question_named_restart_is_not_the_daemons(
    store: AnyStore,
) -> None:
    """WF-09 law 5: its answer is only an answer, and the daemon's question stands beside it."""
    row = await start(store)
    await one(
        store, append("r1", AskRaised(name="restart", question="?"), fence=row.fence)
    )
    await interrupt(store, row)
    assert {ask.name for ask in await store.asks()} == {"restart", RESTART_ASK}
    answered = await one(store, answer_to("restart", "yes please"))
    assert [f.type for f in answered.recorded] == ["ask.answered"]
    assert (await get(store, "r1")).state == "waiting"
    await one(store, answer_to(RESTART_ASK, "requeue"))
    assert (await get(store, "r1")).state == "queued"


async def test_a_queued_run_is_not_ended_by_the_answer_to_its_own_question(
    store: AnyStore,
) -> None:
    """WF-09 law 5: nobody executes it now, and it is not asked about."""
    row = await start(store)
    await one(
        store, append("r1", AskRaised(name="restart", question="?"), fence=row.fence)
    )
    await one(store, Release(row.fence, fact("r1", RunRequeued(reason="crash"))))
    answered = await one(store, answer_to("restart", "fail"))
    assert [f.type for f in answered.recorded] == ["ask.answered"]
    assert (await get(store, "r1")).state == "queued"


@pytest.mark.parametrize("name", [RESTART_ASK, "daemon:", "daemon:other"])
async def test_the_names_of_the_daemons_questions_are_reserved(
    store: AnyStore, name: str
) -> None:
    """WF-09"""
    row = await start(store)
    with pytest.raises(Refused, match="daemon's questions"):
        await one(
            store, append("r1", AskRaised(name=name, question="?"), fence=row.fence)
        )


@pytest.mark.parametrize(("text", "state"), [("requeue", "queued"), ("fail", "failed")])
async def test_a_question_of_an_older_daemon_is_still_heeded(
    store: AnyStore, text: str, state: str
) -> None:
    """EV-13: its name was `restart`, and so was what the run waited for."""
    row = await start(store)
    await interrupt(store, row, OLD_RESTART_ASK)
    store._db.execute("UPDATE asks SET name = ?", (OLD_RESTART_ASK,))
    await one(store, answer_to(OLD_RESTART_ASK, text))
    assert (await get(store, "r1")).state == state


@pytest.mark.parametrize("text", ["requeue", "fail"])
async def test_the_answer_about_a_run_holds_for_all_below_it(
    store: AnyStore, text: str
) -> None:
    """Law 5: what a restart interrupted together is decided together."""
    rows = [
        await start(store, "r1"),
        await start(store, "r1.a", parent_id="r1"),
        await start(store, "r1.a.b", parent_id="r1.a"),
    ]
    busy = await start(store, "r1.c", parent_id="r1")
    other = await start(store, "other")
    for row in (*reversed(rows), other):
        await interrupt(store, row)
    write = answer_to(RESTART_ASK, text)
    first = await one(store, write)
    assert (await one(store, write)).recorded == first.recorded
    state = "queued" if text == "requeue" else "cancelled"
    assert [(await get(store, row.run_id)).state for row in rows[1:]] == [state] * 2
    assert (await get(store, "r1")).state == (
        "queued" if text == "requeue" else "failed"
    )
    assert [ask.run_id for ask in await store.asks()] == ["other"]
    # What executes is not asked about.
    assert (await get(store, busy.run_id)).state == "running"


async def test_a_run_that_waits_for_a_person_can_be_cancelled(
    store: AnyStore,
) -> None:
    row = await start(store)
    await one(store, Release(row.fence, fact("r1", RunWaiting(reason=RESTART_ASK))))
    assert (await one(store, RequestCancel("r1", "no", at()))).outcome == "cancelled"
    assert await store.asks() == []
