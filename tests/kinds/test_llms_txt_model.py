"""ML-01, ML-02, ML-04, DS-05, CX-11: the kind `llms-txt` with a model that fills fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from llms_txt import parse_llms_file  # type: ignore[import-untyped]

from fakes.cores import open_fake_core, request, wait_ended
from fakes.model_cores import open_model_core
from fakes.model_server import ModelServer
from fakes.stores import inline_store
from penstock.kinds.llms_txt.pipeline import KIND
from penstock.llm.prompts import GENERIC
from penstock.log.projections import RunView
from penstock.log.store import Store
from penstock.runs.core import Core
from penstock.words.errors import PenstockError
from penstock.words.events import ArtifactPartial, Log, Milestone
from penstock.words.printed import text_of
from penstock.words.recorded import Recorded

FILES = {
    "README.md": "# Thing\n\nThing does what things do.\n",
    "pyproject.toml": '[project]\nname = "thing"\ndescription = "Do things"\n',
    "src/thing/__init__.py": '"""Do things."""\n',
    "src/thing/core.py": "def work(): ...\n",
    "docs/guide.md": "# Guide\n\nHow to do things.\n",
}
HEAD, LINE = "Say what a project is for", "Say in one line what a file"
PURPOSE = {
    "match": HEAD,
    "fields": {
        "purpose": "Things, done by the guide.",
        "concepts": '["guide: how to do things.", "thing: who does it"]',
    },
}
CORE = {"match": "File:\nsrc/thing/core.py", "fields": {"description": "The heart of things."}}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


async def describe(
    core: Core, tree: Path, **inputs: Any
) -> tuple[RunView, str, list[Recorded]]:
    """A run `r` to its end: its view, its llms.txt, its facts."""
    out = tree.parent / "out"
    with trio.fail_after(60):
        await core.submitter.submit(
            request("llms-txt", "r", source=str(tree), out=str(out), **inputs)
        )
        await wait_ended(core, "r")
    view = await core.reader.view("r")
    assert view.state == "completed", view.error
    facts = await core.store.read("r")
    return view, (out / "llms.txt").read_text(), facts


async def static(tree: Path) -> str:
    """The text without a model."""
    async with open_fake_core(KIND) as core:
        _, text, facts = await describe(core, tree)
    said = [text_of(e) for f in facts if isinstance(e := f.event, Log)]
    assert any("no model is configured" in text for text in said)
    return text


async def test_the_model_fills_fields_and_the_links_stay_those_of_the_tree(
    tree: Path, model_server: ModelServer
) -> None:
    """ML-04: an invented file and an address of elsewhere are in no link."""
    before = parse_llms_file(await static(tree))
    model_server.script(PURPOSE, CORE)
    async with open_model_core(model_server.url, KIND) as core:
        view, text, facts = await describe(core, tree)
    read = parse_llms_file(text)
    assert (read.title, read.summary) == ("thing", "Things, done by the guide.")
    assert "Key concepts: guide: how to do things; thing: who does it." in text

    def links(found: Any) -> list[str]:
        return [link.url for links in found.sections.values() for link in links]

    assert links(read) == links(before)
    # It was asked of nothing that says itself what it is for.
    assert len(model_server.log()) == 2
    assert "(src/thing/core.py): The heart of things." in text
    assert "How to do things" in text
    assert "model_described" in view.milestones
    assert view.tokens_in > 0
    joined = "".join(
        event.text
        for f in facts
        if isinstance(event := f.event, ArtifactPartial)
        and event.artifact_id == "llms.txt"
    )
    assert joined == text


async def test_the_same_answers_give_the_same_facts(
    tree: Path, model_server: ModelServer
) -> None:
    """ML-02"""
    told = []
    for _ in range(2):
        model_server.reset()
        model_server.script(PURPOSE, CORE)
        async with open_model_core(model_server.url, KIND) as core:
            view, text, facts = await describe(core, tree)
        told.append((text, view.milestones, [f.type for f in facts]))
    assert told[0] == told[1]


async def test_what_a_model_makes_up_is_not_told(
    tree: Path, model_server: ModelServer
) -> None:
    """ML-04: words that the file does not have leave its own; so with a concept of elsewhere."""
    (tree / "src/thing/more.py").write_text("def more(): ...\n")
    head = {
        "match": HEAD,
        "fields": {
            "purpose": "Does things.",
            "concepts": '["thing: does them", "turtles: reptiles with shells"]',
        },
    }
    made_up = {"description": "Parses XML feeds with `FeedReader`."}
    half = {"description": "More of the thing in parts. It also sells."}
    model_server.script(
        head,
        {"match": "File:\nsrc/thing/core.py", "fields": made_up},
        {"match": "File:\nsrc/thing/more.py", "fields": half},
    )
    async with open_model_core(model_server.url, KIND) as core:
        _, text, _ = await describe(core, tree)
    assert "(src/thing/core.py): Defines work\n" in text
    assert "(src/thing/more.py): More of the thing in parts.\n" in text
    assert "Key concepts: thing: does them.\n" in text
    assert "turtles" not in text


async def test_what_is_told_is_judged_and_not_what_stands_behind_it(
    tree: Path, model_server: ModelServer
) -> None:
    """ML-04: only the first sentence is told; another that is of the file makes it no better."""
    behind = {"description": "Sells turtles. Thing of the guide, for things."}
    model_server.script(
        PURPOSE, {"match": "File:\nsrc/thing/core.py", "fields": behind}
    )
    async with open_model_core(model_server.url, KIND) as core:
        _, text, _ = await describe(core, tree)
    assert "(src/thing/core.py): Defines work\n" in text


async def test_a_purpose_in_other_words_is_asked_again_and_then_not_told(
    tree: Path, model_server: ModelServer
) -> None:
    """ML-04, DS-05"""
    before = parse_llms_file(await static(tree))
    made_up = {"purpose": "Sells turtles to zoos.", "concepts": "[]"}
    model_server.script({"match": HEAD, "fields": made_up}, CORE)
    async with open_model_core(model_server.url, KIND) as core:
        _, text, facts = await describe(core, tree)
    assert parse_llms_file(text).summary == before.summary
    assert "(src/thing/core.py): The heart of things." in text
    said = "".join(text_of(e) for f in facts if isinstance(e := f.event, Log))
    assert "is not in the words of the README" in said


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"match": HEAD, "fields": {"purpose": "x", "concepts": "[]"}, "drop": 3}, "broke off"),
        ({"match": HEAD, "status": 400, "error": "no"}, "no"),
    ],
    ids=["broken off", "refused"],
)  # fmt: skip
async def test_a_model_that_fails_leaves_the_static_text(
    tree: Path, model_server: ModelServer, rule: dict[str, Any], why: str
) -> None:
    """ML-04, DS-05: the run completes, the text is that without a model, and a fact says why."""
    before = await static(tree)
    model_server.script(rule, PURPOSE)
    async with open_model_core(model_server.url, KIND, retries=0, patience=0.0) as core:
        _, text, facts = await describe(core, tree, model=True)
    assert text == before
    (failed,) = [
        e
        for f in facts
        if isinstance(e := f.event, Milestone) and e.name == "model_failed"
    ]
    assert why in failed.metadata["why"]


async def test_a_bad_answer_spoils_only_what_it_was_to_say(
    tree: Path, model_server: ModelServer
) -> None:
    """ML-04, DS-05: and the run tells which line, and why."""
    (tree / "src/thing/more.py").write_text("def more(): ...\n")
    before = parse_llms_file(await static(tree))
    model_server.script(
        {"match": HEAD, "text": "I like turtles."},
        {"match": "File:\nsrc/thing/more.py", "text": "And elephants."},
        CORE,
    )
    async with open_model_core(model_server.url, KIND) as core:
        view, text, facts = await describe(core, tree)
    assert parse_llms_file(text).summary == before.summary
    assert "(src/thing/core.py): The heart of things." in text
    assert "(src/thing/more.py): Defines more" in text
    said = "".join(text_of(e) for f in facts if isinstance(e := f.event, Log))
    assert "model: src/thing/more.py stays as it is: description" in said
    assert "model_described" in view.milestones


async def test_what_was_described_stays_when_the_server_fails(
    tree: Path, model_server: ModelServer
) -> None:
    """ML-04: it is not all or nothing."""
    model_server.script(PURPOSE, {"match": LINE, "status": 400, "error": "no"})
    async with open_model_core(model_server.url, KIND, patience=0.0) as core:
        view, text, _ = await describe(core, tree)
    assert parse_llms_file(text).summary == "Things, done by the guide."
    assert "model_failed" in view.milestones


async def test_an_unreachable_model_leaves_the_static_text(
    tree: Path, unused_tcp_url: str
) -> None:
    """ML-04"""
    before = await static(tree)
    async with open_model_core(unused_tcp_url, KIND, retries=0, patience=0.0) as core:
        view, text, _ = await describe(core, tree)
    assert text == before
    assert "model_failed" in view.milestones


async def test_a_model_can_be_declined_or_insisted_on(
    tree: Path, model_server: ModelServer
) -> None:
    """APP-03: `model=false` asks none; `model=true` without one is refused at submit."""
    async with open_model_core(model_server.url, KIND) as core:
        await describe(core, tree, model=False)
    assert model_server.log() == []
    async with open_fake_core(KIND) as core:
        with pytest.raises(PenstockError, match="need a model"):
            await core.submitter.submit(
                request("llms-txt", "r", source=str(tree), model=True)
            )


async def test_every_request_has_the_layers_and_fits_the_window(
    tree: Path, model_server: ModelServer
) -> None:
    """CX-11: large files too."""
    # Each is more than the window holds.
    for number in range(30):
        (tree / f"src/thing/part{number}.py").write_text("# words and words\n" * 2500)
    async with open_model_core(model_server.url, KIND) as core:
        await describe(core, tree)
    log = model_server.log()
    assert len(log) >= 3
    for seen in log:
        text = "\n".join(message["content"] for message in seen["messages"])
        assert text.index(GENERIC) < text.index("State of the run")
        assert "milestone" in text
        # The larger one is asked after two answers that could not be used, and not for size.
        assert seen["model"] in ("mistral:7b", "qwen3:8b")
        assert len(text) / 4 <= 8192 * 0.8


async def test_what_the_model_said_is_not_asked_for_again(
    tree: Path, model_server: ModelServer
) -> None:
    """ML-02, OD-05: stopped while it waits for the second answer, resumed from there."""
    model_server.script(PURPOSE, {**CORE, "hang": 3, "times": 1}, CORE)
    async with inline_store() as store:
        await _stop_in_the_middle(store, tree, model_server)
        async with open_model_core(
            model_server.url, KIND, store=store, life="life-2"
        ) as core:
            with trio.fail_after(60):
                await wait_ended(core, "r")
            view = await core.reader.view("r")
    assert view.state == "completed"
    asked = ["\n".join(m["content"] for m in seen["messages"]) for seen in model_server.log()]  # fmt: skip
    assert [HEAD in text for text in asked] == [True, False, False]


async def _stop_in_the_middle(
    store: Store, tree: Path, model_server: ModelServer
) -> None:
    async with open_model_core(model_server.url, KIND, store=store) as core:
        asked = request("llms-txt", "r", source=str(tree), out=str(tree.parent / "out"))
        await core.submitter.submit(asked)
        # The second answer: the first may be seen while it is being given.
        await model_server.wait_log(2, "done", "generating", sent=3)
