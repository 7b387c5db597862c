"""MB-16: what runs ask of a box, and what a box says that it has, in the core."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
import trio.testing

from fakes.boxes import SharedStore, box_row
from fakes.cores import (
    SLEEP,
    FakeProcesses,
    Nothing,
    Seconds,
    fake_environment,
    kind,
    request,
    sleep,
    wait_ended,
)
from fakes.stores import inline_store
from penstock.kinds.command import KIND as COMMAND
from penstock.log.kept import BoxRow
from penstock.log.sqlite.store import SqliteStore
from penstock.log.writes import SetSlots
from penstock.pipeline import Kind, Run
from penstock.runs.core import Core
from penstock.runs.open_core import open_core
from penstock.runs.queue import Candidate, ClaimRules, SlotHolder, choose_preemption
from penstock.testing import START
from penstock.words.api import RetryRequest, ScheduleRequest
from penstock.words.config import Config, Group
from penstock.words.errors import Refused
from penstock.words.events import AnyEvent, Log, RunQueued, encode_event
from penstock.words.placement import place_of
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded
from penstock.words.surroundings import Surroundings
from penstock.words.values import new_event_id

Clock = trio.testing.MockClock
PORTABLE = kind("portable", sleep, portable=True)


@asynccontextmanager
async def open_box(
    box: str,
    kept: SqliteStore | None = None,
    *kinds: Kind,
    life: str = "life-1",
    shared: bool = False,
    rows: Sequence[BoxRow] = (),
    **settings: Any,
) -> AsyncIterator[Core]:
    """The core of a box of this name, on a store in memory unless one is given."""
    world = replace(fake_environment(FakeProcesses()), host=box)
    async with AsyncExitStack() as stack:
        store = kept
        if store is None:
            store = await stack.enter_async_context(inline_store(life=life))
        core = await stack.enter_async_context(
            open_core(
                Config(**settings),
                store=SharedStore(store, box, rows) if shared else store,
                kinds={kind.name: kind for kind in (SLEEP, PORTABLE, COMMAND, *kinds)},
                life=life,
                environment=world,
            )
        )
        yield core


async def submit(core: Core, run_id: str, **others: Any) -> None:
    given = others.pop("surroundings", None)
    wanted = request(run_id=run_id, **{"seconds": 0.0, **others})
    await core.submitter.submit(wanted, surroundings=given)


async def told(core: Core, run_id: str) -> list[tuple[str, str]]:
    why = await core.why(run_id)
    return [(reason.code, reason.text) for reason in why.reasons]


# -- one box, alone


async def test_a_run_waits_for_a_label_that_the_box_has_not(
    autojump_clock: Clock,
) -> None:
    """MB-16: and says which; those behind it go on."""
    async with open_box("a", labels={"gpu": "1"}) as core:
        await submit(core, "two", needs={"gpu": "2", "box": "a"}, priority="CRITICAL")
        await submit(core, "one", needs={"gpu": "1"})
        await submit(core, "there", needs={"box": "b"}, kind="portable")
        await wait_ended(core, "one")
        assert await told(core, "two") == [
            ("needs", "It asks for gpu=2, which this box has not.")
        ]
        assert await told(core, "there") == [("box", "It executes at the box b alone.")]
        reply = await core.reader.reply("two")
        assert (reply.needs, reply.origin) == ({"gpu": "2", "box": "a"}, "")


async def test_a_log_that_is_copied_to_another_box_goes_on(
    autojump_clock: Clock,
) -> None:
    """MB-16: nothing is pinned where there is one box."""
    async with inline_store() as store:
        async with open_box("a", store) as core:
            await core.queue.pause()
            inputs = {"argv": ["true"], "cwd": "/work"}
            await core.submitter.submit(
                request("command", "r", **inputs),
                surroundings=Surroundings(b"A=1\0", None, "/home"),
            )
            assert (await core.reader.view("r")).needs == {}
        async with open_box("b", store, life="life-2") as core:
            await core.queue.resume()
            await wait_ended(core, "r")
            assert await store.surroundings("r") == Surroundings(b"A=1\0", None)


# -- a log that several boxes share


@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        ({"kind": "sleep"}, {"box": "a"}),
        ({"kind": "portable"}, {}),
        ({"kind": "portable", "needs": {"gpu": "1"}}, {"gpu": "1"}),
        ({"kind": "portable", "needs": {"box": "b"}}, {"box": "b"}),
        ({"kind": "command", "argv": ["true"]}, {}),
        ({"kind": "command", "argv": ["true"], "cwd": "/w"}, {"box": "a"}),
        ({"kind": "command", "argv": ["true"], "cwd": "/w", "anywhere": True}, {}),
        (
            {"kind": "command", "argv": ["true"], "cwd": "/w", "needs": {"gpu": "1"}},
            {"gpu": "1", "box": "a"},
        ),
    ],
)
async def test_a_run_with_files_is_pinned_to_the_box_it_was_submitted_at(
    asked: dict[str, Any], needs: dict[str, str], autojump_clock: Clock
) -> None:
    """MB-16"""
    async with open_box("a", shared=True, labels={"gpu": "1"}) as core:
        await core.queue.pause()
        await core.submitter.submit(request(run_id="r", **asked))
        view = await core.reader.view("r")
        assert (view.needs, view.origin) == (needs, "a")


async def test_what_stays_here_and_asks_for_what_is_elsewhere_is_refused(
    autojump_clock: Clock,
) -> None:
    """MB-16: it would wait for ever, and only who asked can say whether its files are there as well."""
    asked: dict[str, Any] = {"kind": "command", "argv": ["true"], "needs": {"gpu": "1"}}
    async with open_box("a", shared=True) as core:
        await core.queue.pause()
        with pytest.raises(Refused, match=r"gpu=1, which the box a has not.*anywhere"):
            await core.submitter.submit(request(run_id="here", cwd="/w", **asked))
        await core.submitter.submit(
            request(run_id="there", cwd="/w", anywhere=True, **asked)
        )
        await core.submitter.submit(request(run_id="free", **asked))
        needs = [(await core.reader.view(r)).needs for r in ("there", "free")]
        assert needs == [{"gpu": "1"}] * 2
    # A log of one box alone may be carried to one that has it.
    async with open_box("a") as core:
        await core.queue.pause()
        await core.submitter.submit(request(run_id="here", cwd="/w", **asked))


async def test_a_caller_has_a_folder_here_only(autojump_clock: Clock) -> None:
    """MB-16: what may execute elsewhere has none of it, nor of the caller's environment."""
    given = Surroundings(b"TOKEN=x\0", 0o22, "/home/me")
    async with open_box("a", shared=True) as core:
        await core.queue.pause()
        for run_id, others in (
            ("here", {}),
            ("anywhere", {"anywhere": True}),
            ("there", {"needs": {"box": "b"}}),
        ):
            await core.submitter.submit(
                request("command", run_id, argv=["true"], **others), surroundings=given
            )
        inputs = {
            r: (await core.reader.view(r)).inputs for r in ("here", "anywhere", "there")
        }
        kept = {r: await core.store.surroundings(r) for r in inputs}
        assert {r: told.get("cwd") for r, told in inputs.items()} == {
            "here": "/home/me",
            "anywhere": None,
            "there": None,
        }
        assert kept == {
            "here": Surroundings(b"TOKEN=x\0", 0o22),
            "anywhere": Surroundings(None, 0o22),
            "there": Surroundings(None, 0o22),
        }


@pytest.mark.parametrize("asked", [{"anywhere": True}, {"needs": {"box": "b"}}])
async def test_what_must_stay_is_not_sent_away(
    asked: dict[str, Any], autojump_clock: Clock
) -> None:
    """MB-16"""
    async with open_box("a", shared=True) as core:
        with pytest.raises(Refused, match="stay at the box"):
            await submit(core, "r", **asked)


async def test_what_no_box_could_start_is_refused(autojump_clock: Clock) -> None:
    """MB-16: its files are here, and what it asks for is not."""
    asked: dict[str, Any] = {
        "kind": "command",
        "argv": ["true"],
        "needs": {"gpu": "1"},
    }
    async with open_box("a", shared=True) as core:
        with pytest.raises(Refused, match="asks for gpu=1, which the box a has not"):
            await core.submitter.submit(request(cwd="/w", **asked))
        await core.submitter.submit(request(cwd="/w", anywhere=True, **asked))


async def test_a_retry_needs_what_the_run_did(autojump_clock: Clock) -> None:
    """MB-16: its files are where they were, and its environment with them; whoever retries it."""
    given = Surroundings(b"A=1\0", None, "/home")
    async with inline_store() as store:
        async with open_box("a", store, shared=True) as core:
            for run_id, others in (("here", {}), ("anywhere", {"anywhere": True})):
                wanted = request("command", run_id, argv=["true"], **others)
                await core.submitter.submit(wanted, surroundings=given)
            await wait_ended(core, "here", "anywhere")
        async with open_box("b", store, life="life-2", shared=True) as core:
            await core.queue.pause()
            for run_id, needs, kept in (
                ("here", {"box": "a"}, Surroundings(b"A=1\0", None)),
                ("anywhere", {}, Surroundings(None, None)),
            ):
                again = (await core.submitter.retry(run_id)).view
                assert (again.needs, again.origin) == (needs, "b")
                assert await store.surroundings(again.run_id) == kept


@pytest.mark.parametrize(
    ("wanted", "needs", "environ"),
    [
        ({"needs": {"os": "linux"}}, {"gpu": "1", "os": "linux", "box": "a"}, True),
        ({"needs": {"box": "a"}}, {"gpu": "1", "box": "a"}, True),
        ({"needs": {"box": "b"}}, {"gpu": "1", "box": "b"}, False),
        ({"anywhere": True}, {"gpu": "1"}, False),
        ({"needs": {"gpu": "2"}, "anywhere": True}, {"gpu": "2"}, False),
    ],
)
async def test_a_retry_may_be_sent_elsewhere(
    wanted: dict[str, Any],
    needs: dict[str, str],
    environ: bool,
    autojump_clock: Clock,
) -> None:
    """MB-16: as at a submit; what its box alone has of its caller stays there."""
    given = Surroundings(b"A=1\0", None, "/home")
    labels = {"gpu": "1", "os": "linux"}
    async with open_box("a", shared=True, labels=labels) as core:
        asked = request("command", "r", argv=["true"], needs={"gpu": "1"})
        await core.submitter.submit(asked, surroundings=given)
        await wait_ended(core, "r")
        await core.queue.pause()
        again = (await core.submitter.retry("r", RetryRequest(**wanted))).view
        assert (again.needs, again.origin, again.retry_of) == (needs, "a", "r")
        kept = await core.store.surroundings(again.run_id)
        assert kept == Surroundings(b"A=1\0" if environ else None, None)


async def test_a_retry_that_could_start_nowhere_is_refused(
    autojump_clock: Clock,
) -> None:
    """MB-16: where its files are, or what its kind is, keeps it; as at a submit."""
    async with open_box("a", shared=True, labels={"gpu": "1"}) as core:
        given = Surroundings(b"", None, "/home")
        asked = request("command", "r", argv=["true"])
        await core.submitter.submit(asked, surroundings=given)
        await submit(core, "stays")
        await wait_ended(core, "r", "stays")
        for run_id, wanted, why in (
            ("r", {"needs": {"gpu": "2"}}, "gpu=2, which the box a has not"),
            ("stays", {"anywhere": True}, "stay at the box"),
            ("stays", {"needs": {"box": "b"}}, "stay at the box"),
        ):
            with pytest.raises(Refused, match=why):
                await core.submitter.retry(run_id, RetryRequest(**wanted))
        again = await core.submitter.retry("stays", RetryRequest(needs={"gpu": "1"}))
        assert again.view.needs == {"box": "a", "gpu": "1"}


async def test_a_box_says_whose_runs_it_takes(autojump_clock: Clock) -> None:
    """MB-16: those of others only if it is told to."""
    async with inline_store() as store:
        async with open_box("a", store, shared=True) as core:
            await core.queue.drain_box("a")
            await submit(core, "r", kind="portable")
        async with open_box("b", store, life="life-2", shared=True) as core:
            await trio.sleep(1)
            assert (await told(core, "r"))[0] == (
                "accept",
                "It was submitted at a, and this box executes its own runs only.",
            )
        async with open_box(
            "b", store, life="life-3", accept="team", shared=True
        ) as core:
            await wait_ended(core, "r")


async def test_a_drained_box_starts_nothing_until_it_is_resumed(
    autojump_clock: Clock,
) -> None:
    """MB-16: what executes goes on, the drain is waited for, and a restart does not end it."""
    async with inline_store() as store:
        async with open_box("a", store) as core:
            await submit(core, "long", seconds=100)
            await core.queue.drain_box("a")
            await submit(core, "next")
            await core.queue.wait_box_idle("a")
            assert trio.current_time() >= 100
            assert core.statistics().drained_boxes == ("a",)
            assert await told(core, "next") == [
                (
                    "box_drained",
                    "This box is drained: `penstock resume --box a`.",
                )
            ]
        async with open_box("a", store, life="life-2") as core:
            await trio.sleep(10)
            assert (await core.reader.view("next")).state == "queued"
            await core.queue.resume_box("a")
            await wait_ended(core, "next")


async def test_who_waits_for_a_drain_hears_that_it_was_ended(
    autojump_clock: Clock,
) -> None:
    """MB-16"""
    async with open_box("a") as core, trio.open_nursery() as nursery:
        await submit(core, "long", seconds=1000)
        await core.queue.drain_box("a")
        nursery.start_soon(core.queue.wait_box_idle, "a")
        await trio.sleep(1)
        await core.queue.resume_box("a")
        with pytest.raises(Refused, match="no box 'b'"):
            await core.queue.drain_box("b")
        await core.control.cancel("long", "enough")
    assert trio.current_time() < 1000


async def test_what_executes_at_a_drained_box_has_its_children(
    autojump_clock: Clock,
) -> None:
    """MB-16: or it would wait for them for ever, and who waits for the drain with it."""

    async def spawn(run: Run, _inputs: Seconds) -> Nothing:
        await trio.sleep(10)
        await run.spawn_run("c", "portable", {"seconds": 1.0})
        return Nothing()

    async with open_box("a", None, kind("spawn", spawn), shared=True) as core:
        await submit(core, "p", kind="spawn")
        await trio.sleep(1)
        await core.queue.drain_box("a")
        with trio.fail_after(100):
            await core.queue.wait_box_idle("a")
        assert (await core.reader.view("p")).state == "completed"


async def test_no_turn_is_taken_for_what_others_start(autojump_clock: Clock) -> None:
    """MB-16: or as many boxes as there are would ask the log's server in vain."""
    asked: list[str] = []
    async with open_box("a", shared=True) as core:
        core.table.on_work = lambda: asked.append("turn")
        for run_id, needs, output in (
            ("far", {"box": "b"}, False),
            ("near", {}, False),
            ("near", {}, True),
        ):
            asked.clear()
            events: list[AnyEvent] = [
                RunQueued(kind="portable", priority=20, needs=needs, origin="a")
            ]
            if output:
                events = [Log(text="x")]
            view = core.table.views.get(run_id)
            sequence = 1 if view is None else view.sequence + 1
            core.table.follow(
                [
                    Recorded(
                        core.table.head + 1, run_id, sequence, new_event_id(), START, {}, None, 0,
                        event.type, encode_event(event), event,
                    )
                    for event in events
                ]
            )  # fmt: skip
            assert asked == (["turn"] if (run_id, output) == ("near", False) else [])
        await core.queue.pause()


async def test_a_schedule_is_of_the_box_it_was_made_at(autojump_clock: Clock) -> None:
    """MB-16: its runs are of there, whichever box submits them; what may be elsewhere has no folder of there."""
    given = Surroundings(b"A=1\0", None, "/home")
    async with inline_store() as store:
        async with open_box("a", store, shared=True) as core:
            for name, run in (
                ("here", {"kind": "command", "inputs": {"argv": ["true"]}}),
                ("free", {"kind": "portable", "inputs": {"seconds": 0.0}}),
                (
                    "away",
                    {"kind": "command", "inputs": {"argv": ["true"]}, "anywhere": True},
                ),
            ):
                wanted = {"name": name, "timing": "1h", "run": run}
                await core.schedules.set(ScheduleRequest.model_validate(wanted), given)
        async with open_box("b", store, life="life-2", shared=True) as core:
            await trio.sleep(3601)
            runs = {
                view.run_id.split("@")[0]: view for view in core.table.views.values()
            }
            assert {name: (view.needs, view.origin) for name, view in runs.items()} == {
                "here": ({"box": "a"}, "a"),
                "free": ({}, "a"),
                "away": ({}, "a"),
            }
            folders = {name: view.inputs.get("cwd") for name, view in runs.items()}
            assert folders == {"here": "/home", "free": None, "away": None}
            kept = await store.surroundings(runs["here"].run_id)
            assert kept == Surroundings(b"A=1\0", None)


async def test_children_are_where_their_parent_is(autojump_clock: Clock) -> None:
    """MB-16: and ask for what it does."""

    async def spawn(run: Run, _inputs: Seconds) -> Nothing:
        await run.spawn_run("c", "portable", {"seconds": 0.0})
        return Nothing()

    async with open_box(
        "a", None, kind("spawn", spawn), labels={"gpu": "1"}, shared=True
    ) as core:
        await submit(core, "p", kind="spawn", needs={"gpu": "1"})
        await wait_ended(core, "p")
        child = await core.reader.view("p.c")
        assert (child.needs, child.origin) == ({"gpu": "1", "box": "a"}, "a")


async def test_why_looks_at_the_boxes_that_there_are(
    autojump_clock: Clock,
) -> None:
    """MB-16 SC-14"""
    rows = [
        box_row("a"),
        box_row("attic", labels={"gpu": "1"}, accept="team"),
        box_row("cellar", state="lost", silent_seconds=130.0),
    ]
    async with open_box("a", shared=True, rows=rows) as core:
        await submit(core, "gpu", kind="portable", needs={"gpu": "1"})
        await submit(core, "lost", kind="portable", needs={"box": "cellar"})
        await submit(core, "none", kind="portable", needs={"gpu": "2"})
        assert [
            (await told(core, run_id))[0] for run_id in ("gpu", "lost", "none")
        ] == [
            ("box", "It asks for gpu=1, and it waits for a slot of attic."),
            (
                "accept",
                "Its box cellar executes its own runs only; it was submitted at a.",
            ),
            ("needs", "It asks for gpu=2; none of the 2 boxes that are here has it."),
        ]
        whys = await core.whys(["none", "gpu"])
        assert [why.reasons[0].code for why in whys] == ["needs", "box"]


# -- slots and groups


async def test_a_group_has_one_number_for_all_boxes(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """MB-16 SC-04: who came first has the say, and a configuration that says otherwise is told of."""
    groups = {"gpu": Group(slots=1)}
    async with inline_store() as store:
        async with open_box("a", store, shared=True, groups=groups):
            assert await store.slots() == {"gpu": 1}
        more = {"gpu": Group(slots=3), "net": Group(slots=2)}
        async with open_box(
            "b", store, life="life-2", shared=True, groups=more
        ) as core:
            assert core.table.group_slots == {"gpu": 1, "net": 2}
            assert "the group gpu has 1 slots for all boxes, and 3 by" in caplog.text
            assert "net" not in caplog.text
            await core.queue.set_slots("gpu", None)
            assert await store.slots() == {"gpu": 3, "net": 2}
        async with open_box("a", store, life="life-3", shared=True) as core:
            assert core.table.group_slots == {"gpu": 3, "net": 2}


async def test_a_configuration_alone_says_nothing_of_groups_to_the_log(
    autojump_clock: Clock,
) -> None:
    """MB-16: of a log with one box; it may have others with its next start."""
    async with open_box("a", groups={"gpu": Group(slots=1)}) as core:
        assert await core.store.slots() == {}


async def test_a_box_leaves_a_group_alone_whose_slots_it_does_not_know(
    autojump_clock: Clock,
) -> None:
    """MB-16 SC-04: it would start as many as it has slots."""
    async with inline_store() as store:
        async with open_box("a", store, shared=True, groups={"gpu": Group()}) as core:
            await core.queue.pause()
            await submit(core, "r", kind="portable", group="gpu")
            await store.commit([SetSlots(None, START, "gpu")])
        async with open_box(
            "b", store, life="life-2", shared=True, accept="team"
        ) as core:
            await core.queue.resume()
            await trio.sleep(1)
            assert await told(core, "r") == [
                (
                    "group_unknown",
                    "This box knows no group 'gpu': `penstock slots --group gpu N` tells all boxes.",
                )
            ]
            await core.queue.set_slots("gpu", 1)
            await wait_ended(core, "r")


async def test_slots_are_those_of_a_box(autojump_clock: Clock) -> None:
    """MB-16 DU-05: of a log that it shares; another's are kept for it."""
    rows = [box_row("a"), box_row("b")]
    async with inline_store() as store:
        async with open_box("a", store, shared=True, rows=rows) as core:
            await core.queue.set_slots(None, 2)
            await core.queue.set_slots(None, 7, box="b")
            assert core.table.slots == 2
            slots = {box.box: box.slots for box in await core.boxes.told()}
            assert slots == {"a": 2, "b": 7}
            with pytest.raises(Refused, match="no box 'c'"):
                await core.queue.set_slots(None, 1, box="c")
            assert (await store.slots(), await store.box_slots()) == (
                {},
                {"a": 2, "b": 7},
            )
        async with open_box("b", store, life="life-2", shared=True) as core:
            assert core.table.slots == 7
            await core.queue.set_slots(None, None)
            assert core.table.slots == Config().max_concurrent
        async with open_box("a", store, life="life-3", shared=True) as core:
            assert core.table.slots == 2


# -- preemption


def test_nobody_is_interrupted_for_a_run_that_cannot_execute_here() -> None:
    """MB-16 SC-13"""
    holder = SlotHolder(Candidate("low", "k", Priority.BACKGROUND, 1, START), True)
    rules = ClaimRules(
        1, frozenset({"k"}), place=place_of("a", {}, team=False, shared=True)
    )

    def chosen(rules: ClaimRules, **others: Any) -> object:
        wanting = Candidate("high", "k", Priority.CRITICAL, 2, START, **others)
        return choose_preemption([wanting], [holder], rules, START)

    assert chosen(rules, origin="a") is not None
    assert chosen(rules, origin="a", needs={"gpu": "1"}) is None
    assert chosen(rules, origin="a", needs={"box": "b"}) is None
    assert chosen(rules, origin="b") is None
    assert chosen(replace(rules, drained=True), origin="a") is None


async def test_a_preemptor_leaves_alone_who_executes_here(
    autojump_clock: Clock,
) -> None:
    """MB-16 SC-13: in the daemon: the slot would go to nobody."""
    low = kind("low", sleep, preemptible=True)
    async with open_box("a", None, low, max_concurrent=1) as core:
        await submit(core, "r", kind="low", seconds=50, priority="BACKGROUND")
        await trio.sleep(1)
        await submit(core, "far", needs={"gpu": "1"}, priority="CRITICAL")
        await trio.sleep(10)
        assert (await core.reader.view("r")).state == "running"


async def test_a_retry_that_comes_back_says_why_it_lacks_its_environment(
    autojump_clock: Clock,
) -> None:
    """MB-16: none was kept of the run that was sent away. It said that the log had been imported."""
    given = Surroundings(b"A=1\0", None, "/home")
    async with open_box("a", shared=True) as core:
        away = request("command", "r", argv=["true"], needs={"box": "b"})
        await core.submitter.submit(away, surroundings=given)
        await core.control.cancel("r", "not there")
        back = RetryRequest(needs={"box": "a"})
        again = (await core.submitter.retry("r", back)).view.run_id
        await wait_ended(core, again)
        said = [f.event for f in await core.store.read(again) if f.type == "log"]
        assert "sent to another box" in "".join(
            event.text or "" for event in said if isinstance(event, Log)
        )
