"""What an agent says and does, as folds: of facts, of Markdown and of diffs. TU-02, TU-04."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from fakes.tui_agents import ASKS, DONE, EDIT, HOSTILE, PATCH, agents_at_work
from fakes.tui_scene import World
from penstock.words import events as e
from penstock.words import sgr
from penstock.words.recorded import Recorded
from penstock.words.wait_reason import Waiting
from penstock_tui.hunks import diff_lines, patch_folds
from penstock_tui.prose import MOST_ROWS, Prose
from penstock_tui.story import RunStory, facts_of
from penstock_tui.transcript import MOST_ENTRIES, ShownTranscript
from penstock_tui.widgets.tail_line import Line

MINUS = "\N{MINUS SIGN}"


def told(transcript: ShownTranscript) -> list[str]:
    """The headings, and what comes unfolded."""
    return [
        line.text
        for fold in transcript.folds
        for line in (*fold.head, *(fold.body if fold.unfolded else ()))
    ]


def transcript_of(*events: e.AnyEvent) -> ShownTranscript:
    world, transcript = World(), ShownTranscript()
    world.submit("a", "agent", {"prompt": "do it"}, 20, 0)
    for event in events:
        world.record("a", event)
    for fact in world.log:
        transcript.take(fact)
    return transcript


def story_of(run_id: str) -> RunStory:
    world, story = agents_at_work(World()), RunStory()
    story.take(fact for fact in world.log if fact.run_id == run_id)
    return story


def prose(text: str) -> list[str]:
    reader = Prose()
    reader.feed(text)
    return [line.text for line in reader.lines]


# -- the story


def test_words_tools_plan_and_question_stand_in_their_order() -> None:
    assert told(story_of(ASKS).transcript) == [
        "› close the door on a cancel too",  # noqa: RUF001
        "thinks: The user wants a door.",
        "I looked at Door.close: it is synchronous, so a cancel between the two lines leaves the stream open.",
        "",
        "What I will do",
        "",
        "1. shield the closing",
        "2. test it, see the guide (https://trio.example/cancel)",
        "",
        "",
        "  with trio.CancelScope(shield=True):",
        "      ...",
        "",
        "plan  1 of 3 done",
        "  ✓ read the door",
        "  ▶ shield the closing",
        "  ○ test it",
        "✓ read      Read src/door.py",
        "× execute   pytest -q tests/test_door.py",  # noqa: RUF001
        "One test fails as I thought. I shield it now.",
        "? May claude edit src/door.py? [allow / deny]  (a allows, d denies)",
        "  tool     edit",
        "  title    Edit src/door.py",
        "  file     src/door.py",
        *(f"  {line.text}" for line in diff_lines(EDIT)),
    ]


def test_what_is_said_is_no_step() -> None:
    """The transcript has it, and the steps of an agent stay readable."""
    steps = [line.text for line in story_of(ASKS).timeline]
    assert not [
        step for step in steps if "agent.said" in step or "plan.updated" in step
    ]
    assert [step for step in steps if "tool.called" in step]


def test_pieces_of_a_message_are_one_text_and_another_begins_anew() -> None:
    said = [("1", "on"), ("1", "e tw"), ("1", "o"), ("2", "three")]
    transcript = transcript_of(
        *(e.AgentSaid(message=message, text=text) for message, text in said)
    )
    assert told(transcript)[1:] == ["one two", "three"]


def test_a_tool_changes_where_it_stands() -> None:
    transcript = transcript_of(
        e.ToolCalled(call="1", title="Write a", tool="edit", asked=True),
        e.AgentSaid(message="1", text="meanwhile"),
    )
    transcript.shown()
    assert transcript.changed == len(transcript.folds) == 3
    world = World()
    world.submit("a", "agent", {}, 20, 0)
    ended = e.ToolEnded(call="1", status="completed", diff=EDIT, output="ok\n")
    transcript.take(world.record("a", ended))
    assert transcript.changed == 1
    fold = transcript.folds[1]
    assert fold.head[0].text == f"✓ edit      Write a  +2 {MINUS}1  asked"
    assert fold.body[-1].text == "  ok"
    assert not fold.unfolded


@pytest.mark.parametrize(
    ("events", "heads"),
    [
        # An end of what never began; one that ends twice; one that begins twice.
        ([e.ToolEnded(call="x", status="failed")], ["  × other     x"]),  # noqa: RUF001
        (
            [
                e.ToolCalled(call="x", title="t"),
                e.ToolEnded(call="x", status="completed"),
                e.ToolEnded(call="x", status="cancelled"),
            ],
            ["  ✓ other     t", "  ■ other     x"],
        ),
        (
            [e.ToolCalled(call="x", title="t"), e.ToolCalled(call="x", title="more")],
            ["  ▶ other     more"],
        ),
        ([e.AskAnswered(name="never", answer="allow", by="cli")], []),
        ([e.AskWithdrawn(name="never", reason="gone")], []),
        ([e.ToolCalled(call="?q\0"), e.AskAnswered(name="q", answer="a", by="b")], ["  ▶ other     ?q␀"]),
    ],
)  # fmt: skip
def test_an_agent_that_lies_about_ids_breaks_nothing(
    events: list[e.AnyEvent], heads: list[str]
) -> None:
    assert told(transcript_of(*events))[1:] == heads


def test_a_question_says_how_it_was_settled() -> None:
    asked = e.AskRaised(name="q", question="May it?", choices=("allow", "deny"))
    answered = e.AskAnswered(name="q", answer="deny", by="cli")
    assert told(transcript_of(asked, answered))[1:] == ["? May it?  × deny (by cli)"]  # noqa: RUF001
    taken_back = e.AskWithdrawn(name="q", reason="the agent is gone")
    assert told(transcript_of(asked, taken_back))[1:] == [
        "? May it?  ■ taken back: the agent is gone"
    ]


def test_only_the_newest_plan_is_unfolded() -> None:
    def plan(status: str) -> e.PlanUpdated:
        entry = e.PlanEntry.model_validate({"content": "x", "status": status})
        return e.PlanUpdated(entries=(entry,))

    transcript = transcript_of(plan("pending"), plan("completed"))
    assert told(transcript)[1:] == [
        "plan  0 of 1 done", "plan  1 of 1 done", "  ✓ x",
    ]  # fmt: skip


def test_the_oldest_is_forgotten_and_the_rest_stays_true() -> None:
    calls = [e.ToolCalled(call=str(n), title=f"t{n}") for n in range(MOST_ENTRIES + 10)]
    newest = str(MOST_ENTRIES + 9)
    transcript = transcript_of(
        *calls,
        e.ToolEnded(call=newest, status="completed"),
        e.ToolEnded(call="0", status="completed"),
    )
    assert len(transcript.folds) <= MOST_ENTRIES
    heads = [fold.head[0].text for fold in transcript.folds[-2:]]
    assert heads == [f"  ✓ other     t{newest}", "  ✓ other     0"]
    keys = [fold.key for fold in transcript.folds]
    assert len(set(keys)) == len(keys)


def test_a_question_that_was_forgotten_hands_its_keys_on() -> None:
    """It is the oldest open one still, and when it is settled the keys are about the next."""
    calls = [e.ToolCalled(call=str(n), title=f"t{n}") for n in range(MOST_ENTRIES)]
    transcript = transcript_of(
        e.AskRaised(name="old", question="Old?"),
        *calls,
        e.AskRaised(name="new", question="New?"),
        e.AskAnswered(name="old", answer="yes", by="cli"),
    )
    assert transcript.folds[-1].head[0].text == "? New?  (a answers)"


def test_no_text_of_an_agent_keeps_what_a_terminal_obeys() -> None:
    """TU-04: titles, paths, diffs, plans, questions and words are anybody's."""
    story = story_of(HOSTILE)
    folds = [*story.transcript.folds]
    pieces = story.texts["changes.patch"]
    folds += patch_folds("".join(filter(None, pieces)))
    lines = [line for fold in folds for line in (*fold.head, *fold.body)]
    assert len(lines) > 20
    for line in lines:
        assert line.text.isprintable(), line
        assert all(span.text.isprintable() for span in line.spans), line


# -- Markdown


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("# Title #\ntext", ["Title", "text"]),
        ("- a\n  * b\n10) c", ["• a", "  • b", "10) c"]),
        ("- [ ] open\n- [x] done", ["☐ open", "☑ done"]),
        ("> said\n> > twice", ["│ said", "│ │ twice"]),
        ("a\n\n---\n", ["a", "", "─" * 24]),
        ("```py\n# no title\n**x**\n```\nafter", ["", "  # no title", "  **x**", "", "after"]),
        ("~~~\n```\n~~~\n# t", ["", "  ```", "", "t"]),
        ("| a | b |\n|---|:-:|\n| long | `c` |\n", ["a    │ b", "─────┼──", "long │ c"]),
        ("`` a`b `` and `c`", [" a`b  and c"]),
        ("snake_case_name 2*3*4 **open", ["snake_case_name 2*3*4 **open"]),
        (r"\*no\* \# 1", ["*no* # 1"]),
        ("![x](http://a) [b](b)", ["x (http://a) b"]),
        ("tab\there", ["tab here"]),
        ("crlf\r\nline", ["crlf", "line"]),
    ],
)  # fmt: skip
def test_markdown_is_read_as_it_is_meant(text: str, lines: list[str]) -> None:
    assert prose(text) == lines


def test_emphasis_is_drawn_and_its_marks_are_not() -> None:
    reader = Prose()
    reader.feed("**bold `code`** *it* ~~gone~~ [w](u)")
    [line] = reader.lines
    looks = {span.text: span.style for span in line.spans}
    assert looks["bold "].emphasis == (sgr.BOLD,)
    assert looks["code"].emphasis == (sgr.BOLD,)
    assert looks["code"].ink == (36,)
    assert looks["it"].emphasis == (sgr.ITALIC,)
    assert looks["gone"].emphasis == (sgr.STRUCK,)
    assert looks["w"].emphasis == (sgr.UNDERLINE,)
    assert looks[" (u)"].emphasis == (sgr.DIM,)


def test_a_table_without_an_end_is_in_columns_to_its_last_row() -> None:
    """They are put in columns together by so many, and none between is left as it was written."""
    rows = [f"| {number:04} | b |" for number in range(2 * MOST_ROWS + 5)]
    assert prose("\n".join(rows)) == [f"{n:04} │ b" for n in range(len(rows))]


_MARKDOWN = st.lists(
    st.sampled_from(
        ["a", " ", "\n", "`", "```", "**", "*", "_", "#", "# ", "- ", "|", "| x ", "---", "[", "](", ")", ">", "\\", "\r", "~~"]
    ),
    max_size=60,
)  # fmt: skip


@given(_MARKDOWN, st.integers(1, 7))
def test_a_message_is_the_same_in_pieces_of_any_size(
    marks: list[str], size: int
) -> None:
    """What is shown while it grows is what is shown in the end."""
    text = "".join(marks)
    pieces = Prose()
    for begin in range(0, len(text), size):
        pieces.feed(text[begin : begin + size])
        assert all(line.text.isprintable() for line in pieces.lines)
    whole = Prose()
    whole.feed(text)
    assert pieces.lines == whole.lines


def test_a_line_that_no_screen_holds_is_told_whole() -> None:
    text = "wort " * 5000
    assert "".join(prose(text)) == text


# -- words in rows


@given(st.text(alphabet="ab 日本", max_size=80), st.integers(14, 30), st.integers(0, 2))
def test_wrapped_words_lose_no_character(text: str, width: int, hang: int) -> None:
    rows = Line(text, hang=hang).chopped(width)
    assert "".join(row.said for row in rows) == text
    for row in rows:
        assert cell_len(row.text.rstrip(" ")) <= width


def test_words_are_not_cut_and_hang_under_their_beginning() -> None:
    rows = Line("• one two three four", hang=2).chopped(14)
    assert [row.text for row in rows] == ["• one two ", "  three four"]


# -- diffs


def test_a_patch_is_a_fold_for_each_file() -> None:
    folds = patch_folds(PATCH)
    assert [fold.head[0].text for fold in folds] == [
        f"2 files  +4 {MINUS}1",
        f"src/door.py  +2 {MINUS}1",
        "tests/test_door.py  new  +2",
    ]
    assert [line.text for line in folds[2].body][1:] == [
        "    1 +async def test_a_door_closes() -> None:",
        "    2 +    assert (await opened()).closed",
    ]
    assert [line.tone for line in folds[1].body] == [
        "accent", "", "error", "success", "success", "",
    ]  # fmt: skip


def test_an_empty_patch_says_so() -> None:
    assert [fold.head[0].text for fold in patch_folds("")] == ["nothing was changed"]


def test_a_run_that_is_done_has_its_patch_and_its_end() -> None:
    story = story_of(DONE)
    assert told(story.transcript)[-1] == "── completed"
    assert "".join(filter(None, story.texts["changes.patch"])) == PATCH


def test_who_waits_for_a_quota_is_told_until_when() -> None:
    world = agents_at_work(World())
    transcript = ShownTranscript()
    facts: list[Recorded] = [fact for fact in world.log if fact.run_id == "r-a9e2"]
    for fact in facts:
        transcript.take(fact)
    assert told(transcript)[-1].startswith("── waiting: quota of codex until ")


def test_the_keys_are_told_at_the_question_that_they_answer() -> None:
    """TU-03: of several the oldest, and then the next."""
    asked = [
        e.AskRaised(name=name, question=f"{name}?", choices=("allow", "deny"))
        for name in ("one", "two")
    ]
    heads = [
        "? one? [allow / deny]  (a allows, d denies)",
        "? two? [allow / deny]",
    ]
    assert told(transcript_of(*asked))[1:] == heads
    answered = e.AskAnswered(name="one", answer="allow", by="tui")
    assert told(transcript_of(*asked, answered))[1:] == [
        "? one?  ✓ allow (by tui)",
        "? two? [allow / deny]  (a allows, d denies)",
    ]
    world = World()
    world.submit("a", "agent", {}, 20, 0)
    for event in asked:
        world.record("a", event)
    assert facts_of(world.views["a"]).splitlines()[:2] == heads


def test_what_an_agent_came_to_is_told_in_few_words() -> None:
    world = World()
    world.submit("a", "agent", {}, 20, 0)
    world.start("a", 0)
    result = {
        "stop_reason": "max_tokens", "summary": "Half done.\nMore", "session": "s", "files": ["a", "b"], "added": 3,
        "removed": 1, "branch": "penstock/a", "denied": 2, "unasked": 0, "cost": 0.0,
    }  # fmt: skip
    world.record("a", e.RunCompleted(result=result))
    assert facts_of(world.views["a"]) == (
        f"✓ Half done.  2 files  +3 {MINUS}1  branch penstock/a  denied 2  stopped: max_tokens"
    )


def test_a_slot_taken_again_is_no_news_and_another_execution_is() -> None:
    transcript = transcript_of(
        e.RunStarted(kind="agent"),
        e.RunWaiting.of(Waiting("quota", "codex")),
        e.RunResumed(attempt=1),
        e.RunRequeued(reason="crash"),
        e.RunResumed(attempt=2),
    )
    assert told(transcript)[1:] == [
        "── waiting: quota of codex",
        "── back in the queue (crash)",
        "── resumed (attempt 2)",
    ]


def test_no_key_answers_a_question_whose_run_has_ended() -> None:
    """A daemon that is killed takes none back."""
    asked = e.AskRaised(name="q", question="May it?", choices=("allow", "deny"))
    failed = e.RunFailed(reason="crash", error="the daemon was killed")
    assert told(transcript_of(asked, asked.model_copy(update={"name": "r"}), failed))[1:3] == [
        "? May it?  ■ never answered", "? May it?  ■ never answered"
    ]  # fmt: skip


def test_a_tool_that_an_agent_left_open_ends_with_the_run() -> None:
    transcript = transcript_of(
        e.ToolCalled(call="x", title="t"),
        e.RunStarted(kind="agent"),
        e.RunFailed(reason="error", error="it is gone"),
    )
    assert told(transcript)[1:] == ["  ■ other     t", "── failed: it is gone"]
