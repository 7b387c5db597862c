"""One run's facts sorted for its screen."""

from __future__ import annotations

import pytest

from fakes.tui_scene import FROZEN, World, busy_afternoon
from penstock.log.projections import RunView
from penstock.words import events as e
from penstock_tui.details import particulars, relation_rows
from penstock_tui.state import DashboardState
from penstock_tui.story import RunStory, facts_of


def story_of(world: World, run_id: str) -> RunStory:
    story = RunStory()
    story.take(fact for fact in world.log if fact.run_id == run_id)
    return story


def test_the_log_the_texts_and_the_timeline_are_apart() -> None:
    story = story_of(busy_afternoon(World()), "r-1b58")
    assert "".join(piece or "" for piece in story.texts["llms.txt"]).startswith(
        "# Textual\n\n> A Rapid"
    )
    assert any("context 7,900/8,192" in line.text for line in story.log)
    partials = [line for line in story.timeline if "artifact.partial" in line.text]
    assert len(partials) == 1


def test_facts_taken_before_are_not_taken_again() -> None:
    world = busy_afternoon(World())
    story = story_of(world, "r-1b58")
    count = len(story.timeline)
    story.take(fact for fact in world.log if fact.run_id == "r-1b58")
    assert len(story.timeline) == count


def test_a_new_attempt_starts_the_text_anew() -> None:
    world = World()
    world.submit("a", "llms-txt", {}, 20, 0)
    for attempt, text in ((1, "old"), (1, " text"), (2, "new")):
        world.record(
            "a", e.ArtifactPartial(artifact_id="x", text=text, attempt=attempt)
        )
    assert story_of(world, "a").texts["x"] == [None, "old", " text", None, "new"]


def test_exchanges_with_models_are_shown_with_why_they_were_refused() -> None:
    """The tab Model; what a model does at the moment is no step, and stands beside the state."""
    world = World()
    world.submit("a", "coding", {}, 20, 0)
    world.record("a", e.ModelProgress(phase="writing", tokens=57, per_second=1.5))
    sent = (e.SentMessage(role="user", content="Task:\n\x1b[2Ja tool"),)
    world.record(
        "a",
        e.ModelAnswered(
            question="coding.plan", model="small", sent=sent, said="No.", refused="none"
        ),
    )
    story = story_of(world, "a")
    assert [line.text for line in story.exchanges] == [
        "── sent, user",
        "Task:",
        "␛[2Ja tool",
        "── coding.plan small, answer 1",
        "No.",
        "── not usable: none",
    ]
    assert not [line for line in story.timeline if "model.progress" in line.text]
    assert model_of(world).runs["a"].view.model_doing == "writing 57 at 1.5/s"


def test_causes_are_named_and_stale_facts_say_why() -> None:
    """TU and OR-02: the causality tab tells why a report does not count."""
    lines = [
        line.text for line in story_of(busy_afternoon(World()), "r-1b7d").causality
    ]
    stale = [line for line in lines if "STALE" in line]
    assert len(stale) == 1
    assert "reported for v1, the code is at v2" in stale[0]
    generated = next(line for line in lines if "code.generated" in line).split()[0]
    assert any(f"← {generated}" in line and "test.failed" in line for line in lines)
    assert any("agent:4" in line for line in lines)


def model_of(world: World) -> DashboardState:
    model = DashboardState()
    for fact in world.log:
        model.apply(fact)
    return model


def test_the_relations_are_parents_above_children_below_and_who_waits() -> None:
    """TU-02"""
    model = model_of(busy_afternoon(World()))
    rows = relation_rows("r-1ba2.turn-2", model.runs, FROZEN)
    assert [(row.cells[0], row.cells[1]) for row in rows if not row.heading] == [
        ("○", "r-1ba2"),
        ("✓", "  r-1ba2.turn-1"),
        ("▶", "  ▸ r-1ba2.turn-2"),
    ]
    world = World()
    world.submit("build", "command", {}, 20, 0)
    world.submit("test", "command", {}, 20, 0, after=("build", "gone"))
    world.submit("deploy", "command", {}, 20, 0, after=("test",))
    rows = relation_rows("test", model_of(world).runs, FROZEN)
    assert [row.key for row in rows] == [
        "COMES AFTER", "build", "gone", "WAITS FOR IT", "deploy", "family", "test",
    ]  # fmt: skip
    assert relation_rows("nobody", model.runs, FROZEN) == []


def test_a_loop_of_parents_in_broken_data_ends() -> None:
    world = World()
    world.submit("a", "loop", {}, 20, 0, parent_id="b")
    world.submit("b", "loop", {}, 20, 0, parent_id="a")
    assert len(relation_rows("a", model_of(world).runs, FROZEN)) == 3


def test_the_particulars_are_what_was_asked_for_and_how_it_went() -> None:
    """TU-02: an exit code is told once, and not as a dictionary."""
    world = World()
    inputs = {"argv": ["make", "a b"], "cwd": "/src", "env": {"A": "…", "B": "…"}}
    world.submit(
        "r", "command", inputs, 10, 100, labels={"suite": "unit"}, group="disk"
    )
    world.start("r", 90)
    world.record("r", e.RunCompleted(result={"exit_code": 0}), 30)
    said = dict(line.text.split(maxsplit=1) for line in particulars(world.views["r"]))
    assert said["command"] == "make 'a b'"
    assert (said["folder"], said["environment"], said["group"]) == (
        "/src",
        "A B",
        "disk",
    )
    assert (said["labels"], said["took"]) == ("suite=unit", "01:00")
    assert said["exit"] == "exit code 0, from the program"
    assert "result" not in said
    assert "{" not in facts_of(world.views["r"])


def test_what_a_run_asks_and_why_it_failed_stand_under_its_title() -> None:
    views = busy_afternoon(World()).views
    assert facts_of(views["r-1d00"]).startswith(
        "? which branch? [main / release]  (a answers)"
    )
    assert "exit status 3" in facts_of(views["r-1c01"])


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (e.RunCompleted(result={"exit_code": 0}), "exit code 0, from the program"),
        (e.RunFailed(reason="error", error="x", details={"exit_code": 3}), "exit code 3, from the program"),
        (e.RunFailed(reason="error", error="x", details={"signal": 11}), "exit code 139: SIGSEGV ended the program"),
        (e.RunFailed(reason="error", error="x", details={"signal": 40}), "exit code 168: signal 40 ended the program"),
        (e.RunFailed(reason="timeout", error="x"), "exit code 124, from Penstock: the run used up its timeout"),
        (e.RunCancelled(reason="requested"), "exit code 143, from Penstock: the run was cancelled"),
        (e.RunFailed(reason="shutdown", error="x"), "exit code 125, from Penstock"),
        (e.RunFailed(reason="error", error="x", details={"exit_code": 127, "exit_from": "penstock"}),
         "exit code 127, from Penstock: the program was not found"),
    ],
)  # fmt: skip
def test_an_end_is_told_with_its_code_and_who_gave_it(
    event: e.AnyEvent, said: str
) -> None:
    """PT-01 PT-08: and what was left behind, counted, beside it."""
    world = World()
    world.submit("r", "command", {"argv": ["x"]}, 20, 9)
    world.start("r", 8)
    assert "exit code" not in facts_of(world.views["r"])
    world.record("r", e.ProcessExited(pid=1, exit_code=0, leftover=2, survivors=()))
    world.record("r", event)
    lines = facts_of(world.views["r"]).splitlines()
    assert f"{said}  2 processes it left were ended" in lines


def test_an_end_that_a_list_told_is_told_the_same() -> None:
    """PT-01 PT-08: lists have no details, but the code, and the facts what was left."""
    world = World()
    world.submit("r", "command", {"argv": ["x"]}, 20, 9)
    world.start("r", 8)
    world.record("r", e.ProcessExited(pid=1, exit_code=3, leftover=1, survivors=()))
    failed = e.RunFailed(reason="error", error="x", details={"exit_code": 3})
    world.record("r", failed)
    row = {**world.views["r"].to_json(), "details": {}, "leftover": 0}
    view = RunView.from_json(row)
    told = facts_of(view, "", story_of(world, "r").left).splitlines()
    assert told[1] == "exit code 3, from the program  1 process it left was ended"


def test_a_run_without_a_program_has_no_code() -> None:
    """PT-01"""
    world = World()
    for run_id, event in (
        ("done", e.RunCompleted(result={"files": 3})),
        ("failed", e.RunFailed(reason="error", error="no such folder")),
    ):
        world.submit(run_id, "llms-txt", {"source": "."}, 20, 9)
        world.start(run_id, 8)
        world.record(run_id, event)
        assert "exit code" not in facts_of(world.views[run_id])


def test_why_a_run_stands_in_line_replaces_a_bare_word() -> None:
    """The daemon's sentence says more than its reason; what a run asks and used stays."""
    world = World()
    world.submit("r", "llms-txt", {}, 20, 9)
    world.start("r", 8)
    world.record("r", e.ModelUsed(model="m", tokens_in=10, tokens_out=2))
    world.record("r", e.RunRequeued(reason="shutdown"))
    view = world.views["r"]
    assert facts_of(view).splitlines()[0] == "shutdown"
    assert facts_of(view, "All slots are taken.").splitlines() == [
        "All slots are taken.",
        "tokens 10 in 2 out  models 00:00",
    ]
