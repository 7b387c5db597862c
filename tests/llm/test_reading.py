"""DS-05: what a small model said is read with leniency; its recorded answers are the measure."""

from __future__ import annotations

import ast
import itertools
import json
from pathlib import Path
from typing import Any

import dspy  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.kinds.coding.modules import (
    PlannedFile,
    PlannedModule,
    make_plan,
    name_files,
)
from penstock.kinds.coding.signatures import MakePlanAsking
from penstock.llm.answer_forms import Unusable, make_schema
from penstock.llm.dspy_programs import FieldAdapter
from penstock.llm.reading import (
    BlockSplitter,
    ThoughtFilter,
    read_json,
    read_list,
    without_thoughts,
)
from penstock.words.errors import Refused

#: Raw answers of Qwen2.5-Coder-1.5B: P1 plans in sections, P4 in DSPy's JSON, P5 in our own; W1 modules.
RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parent / "recorded_answers.jsonl")
    .read_text()
    .splitlines()
]


def said(variant: str) -> list[str]:
    """The whole answers of a variant."""
    return [r["text"] for r in RECORDED if r["var"] == variant and r["fin"] == "stop"]


class OldPlan(dspy.Signature):  # type: ignore[misc]
    """A plan in sections, as users' own signatures ask for it."""

    task: str = dspy.InputField()
    summary: str = dspy.OutputField()
    modules: list[PlannedFile] = dspy.OutputField()
    questions: list[str] = dspy.OutputField(default=[])


def usable(signature: Any, form: Any, text: str) -> bool:
    """Whether an answer comes to a plan that can be worked off."""
    try:
        fields = FieldAdapter(form).parse(signature, text)
        make_plan({**fields, "modules": name_files(fields["modules"])}, most=12)
    except (Unusable, Refused):
        return False
    return True


def test_recorded_plans_are_read() -> None:
    """SM-02 DS-05: 0 of 14 were usable. What is left names no file of code at all, or is no list."""
    in_sections = [usable(OldPlan, "sections", text) for text in said("P1")]
    in_json = [usable(MakePlanAsking, "json", text) for text in said("P4")]
    assert (sum(in_sections), len(in_sections)) == (5, 9)
    assert (sum(in_json), len(in_json)) == (9, 11)


def test_recorded_code_is_read() -> None:
    """SM-02 DS-05: the first two fences are the module and its tests; one answer left the tests out."""
    found = []
    for text in said("W1"):
        splitter = BlockSplitter(["code", "tests"])
        splitter.feed(text)
        splitter.close()
        found.append(sorted(splitter.values))
        for block in splitter.values.values():
            ast.parse(block)
    assert found.count(["code", "tests"]) == 6
    assert found.count(["code"]) == 1


def test_code_in_one_fence_or_in_a_list_is_read() -> None:
    """SM-02 DS-05: as a 1.5B model answered a later form; three answers had nothing to say."""
    found = []
    for text in said("W2"):
        splitter = BlockSplitter(["code", "tests"])
        splitter.feed(text)
        splitter.close()
        found.append(sorted(splitter.values))
        if len(splitter.values) == 2:
            code, tests = splitter.values.values()
            ast.parse(code)
            assert "import" not in code or "(tests)" in tests
            assert "unittest" in tests or "(tests)" in tests
    assert found.count(["code", "tests"]) == 14
    assert len(found) == 16


BLOCKS = """Here is the code:
[[ ## code ## ]]
```python
def f():

    return 1

```
And the tests, which are:

```
import f
```
```
not asked for
```
"""


@given(st.lists(st.integers(0, len(BLOCKS)), max_size=9))
def test_blocks_are_the_same_whatever_the_pieces(places: list[int]) -> None:
    """DS-03: prose is left out, the first fence is the first field's, and pieces joined are the text."""
    edges = [0, *sorted(places), len(BLOCKS)]
    splitter = BlockSplitter(["code", "tests"])
    added = [
        item
        for a, b in itertools.pairwise(edges)
        for item in splitter.feed(BLOCKS[a:b])
    ] + splitter.close()
    assert splitter.values == {"code": "def f():\n\n    return 1", "tests": "import f"}
    for name, text in splitter.values.items():
        assert "".join(piece for field, piece in added if field == name) == text


ONE_FENCE = "```python\n# code\ndef f(): ...\n\n# tests\ndef test_f():\n    f()\n```\n"
NAMED_FILES = ONE_FENCE.replace("# code", "# vowels.py").replace("tests", "tests.py")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (ONE_FENCE, {"code": "def f(): ...", "tests": "def test_f():\n    f()"}),
        (ONE_FENCE.replace("# tests", "# `Tests`:"), {"code": "def f(): ...", "tests": "def test_f():\n    f()"}),
        ("```\ndef f(): ...\n# tests\n```\n", {"code": "def f(): ...", "tests": ""}),
        (ONE_FENCE + "And:\n```\nimport f\n```\n", {"code": "def f(): ...", "tests": "import f"}),
        ("```\na\n# tests follow\nb\n```\n", {"code": "a\n# tests follow\nb"}),
        ("```\na\n# code\nb\n```\n", {"code": "a\n# code\nb"}),
        (NAMED_FILES, {"code": "# vowels.py\ndef f(): ...", "tests": "def test_f():\n    f()"}),
        (NAMED_FILES.replace("tests.py", "src/test_vowels.py:"), {"code": "# vowels.py\ndef f(): ...", "tests": "def test_f():\n    f()"}),
        ("```\n# vowels.py\n\n# test_vowels.py\nb\n```\n", {"code": "# vowels.py\n\n# test_vowels.py\nb"}),
        ("1. ```python\na\n```\n\n2. ```python\nb\n```\n", {"code": "a", "tests": "b"}),
        ("- ```\na\n   ```\n* ```\nb\n```\n", {"code": "a", "tests": "b"}),
        ("```\na\n# see vowels.py\nb\n# etc.\n```\n", {"code": "a\n# see vowels.py\nb\n# etc."}),
    ],
    ids=["both", "named otherwise", "nothing behind", "a fence after all", "prose", "own name", "file names", "path", "only names", "numbered", "bullets", "words"],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_all_in_one_fence_is_taken_apart(
    text: str, values: dict[str, str], size: int
) -> None:
    """DS-05: as a 1.5B model answered; whatever the pieces, they join to the final text."""
    splitter = BlockSplitter(["code", "tests"])
    heard: list[tuple[str, str]] = []
    restarts = 0
    for start in range(0, len(text), size):
        added = splitter.feed(text[start : start + size])
        if splitter.restarts > restarts:
            heard, restarts = [], splitter.restarts
        heard += added
    heard += splitter.close()
    assert splitter.values == values
    for name, value in values.items():
        assert "".join(piece for field, piece in heard if field == name) == value


def test_a_header_says_whose_the_next_block_is() -> None:
    splitter = BlockSplitter(["code", "tests"])
    splitter.feed("[[ ## tests ## ]]\n```\nimport f\n```\n")
    splitter.close()
    assert splitter.values == {"tests": "import f"}


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("None", []),
        ("[]", []),
        ('["a", "b"]', ["a", "b"]),
        ('```json\n["a"]\n```', ["a"]),
        ("- a\n- b", ["a", "b"]),
        ("1. a\n2) b", ["a", "b"]),
        ('{"a": 1}', [{"a": 1}]),
        ('# Plan\n{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
    ],
)
def test_lists_come_in_many_forms(text: str, items: list[Any]) -> None:
    """SM-02"""
    assert read_list(text) == items


@pytest.mark.parametrize("text", ["a word", '["a"', '{"a"'])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_list(text)


@pytest.mark.parametrize(
    "text", ['{"a": 1}', 'Sure!\n```json\n{"a": 1}\n```\nBye', 'So: {"a": 1}. Done.']
)
def test_json_is_found_among_prose(text: str) -> None:
    assert read_json(text) == {"a": 1}


THOUGHTS = [
    ("<think>\n[[ ## a ## ]]\nx\n</think>\nyes", "\nyes"),
    ("thought without a beginning</think>yes", "yes"),
    ("yes", "yes"),
    ("<thin ice", "<thin ice"),
    ("<think>and no end", ""),
]


@pytest.mark.parametrize(("text", "rest"), THOUGHTS)
def test_thoughts_are_no_part_of_the_answer(text: str, rest: str) -> None:
    """SM-02 DS-03: inline thoughts rehearse the form."""
    assert without_thoughts(text) == rest
    if not text.startswith("thought"):
        for size in (1, 3, 100):
            thoughts = ThoughtFilter()
            pieces = [text[i : i + size] for i in range(0, len(text), size)]
            heard = "".join(map(thoughts.feed, pieces)) + thoughts.close()
            assert heard == rest


def test_a_schema_is_closed_and_bounded() -> None:
    """DS-05: what a server makes a grammar of names only what the model must decide."""
    schema = make_schema(MakePlanAsking)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["summary", "modules", "questions"]
    items = schema["properties"]["modules"]["items"]
    assert items["required"] == ["path", "purpose", "needs"]
    assert items["additionalProperties"] is False
    assert items["properties"]["path"]["pattern"].startswith("^")
    assert schema["properties"]["modules"]["maxItems"] == 12
    assert "$ref" not in json.dumps(schema)
    assert PlannedModule.model_fields.keys() > set(items["required"])


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, "- a\n" + "[" * 9])
def test_what_is_nested_too_deep_is_no_json(text: str) -> None:
    """Law 6: it was an error that nobody foresaw."""
    with pytest.raises(ValueError, match=r".+"):
        read_json(text)
    if not text.startswith("-"):
        with pytest.raises(ValueError, match=r".+"):
            read_list(text)
