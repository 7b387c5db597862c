"""Words, numbers, times and bars."""

from __future__ import annotations

import pytest

from fakes.tui_scene import World
from penstock.log.projections import RunView
from penstock.words import events as e
from penstock_tui import wording


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "00:00"), (271, "04:31"), (3723, "1:02:03"), (274_320, "3d 04:12")],
)
def test_durations(seconds: float, said: str) -> None:
    assert wording.duration(seconds) == said


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (None, ""),
        (0.0, "····   0%"),
        (0.5, "██··  50%"),
        (0.57, "██▎·  57%"),
        (1.0, "████ 100%"),
        (7.0, "████ 100%"),
    ],
)
def test_bars(fraction: float | None, said: str) -> None:
    assert wording.bar(fraction, 4) == said


def test_plain_text_is_one_harmless_line() -> None:
    """TU-04 escape sequences are shown, not obeyed."""
    said = wording.plain("a\x1b[31mred\x07\n\tb\u202ec\x9bd")
    assert said.isprintable()
    assert "[31mred" in said
    assert wording.plain("x" * 10_000) == "x" * wording.LONGEST_LINE


@pytest.mark.parametrize(
    ("inputs", "title"),
    [
        ({"argv": ["sh", "-c", "a b"]}, "sh -c 'a b'"),
        ({"prompt": "do\nit"}, "do⏎it"),
        ({"n": 3, "odd": "word"}, "word"),
        ({}, ""),
    ],
)
def test_titles(inputs: dict[str, object], title: str) -> None:
    view = RunView("r", inputs=inputs)
    assert wording.title_of(view) == title
    view.labels = {"title": "mine"}
    assert wording.title_of(view) == "mine"


def test_tokens_are_those_that_were_counted_and_an_estimate_only_until_then() -> None:
    """TU-02 a figure with a tilde is a guess, and one without is not."""
    world = World()
    world.submit("r", "llms-txt", {}, 20, 9)
    world.start("r", 8)
    view = world.views["r"]
    assert wording.tokens_of(view) == ""
    world.record("r", e.ArtifactPartial(artifact_id="a", text="x" * 400))
    assert (wording.tokens_of(view), wording.model_use(view)) == ("~100", "")
    world.record("r", e.ArtifactCompleted(artifact_id="a", size=400, sha256="0" * 64))
    assert wording.tokens_of(view) == ""
    used = e.ModelUsed(model="m", tokens_in=1500, tokens_out=30, cost=1.25, seconds=61)
    world.record("r", used)
    world.record("r", e.ArtifactPartial(artifact_id="b", text="x" * 400))
    assert wording.tokens_of(view) == "1.5k"
    assert wording.model_use(view) == "tokens 1.5k in 30 out  cost 1.25  models 01:01"
    world.record("r", e.RunCompleted())
    assert wording.tokens_of(view) == "1.5k"


def test_nothing_is_guessed_of_a_run_that_has_ended() -> None:
    world = World()
    world.submit("r", "llms-txt", {}, 20, 9)
    world.record("r", e.ArtifactPartial(artifact_id="a", text="x" * 400))
    world.record("r", e.RunCancelled(reason="x"))
    assert wording.tokens_of(world.views["r"]) == ""


def test_what_stands_where_there_is_nothing_loses_no_word() -> None:
    """TU-02: on a narrow screen it is wrapped."""
    said = "nothing is known: no daemon is running; start one with `penstock serve`"
    lines = [wording.wrapped_line(said, number, 30) for number in range(-2, 5)]
    assert lines[:2] == ["", ""]
    assert " ".join(filter(None, lines)) == said
    assert all(len(line) <= 30 for line in lines)
