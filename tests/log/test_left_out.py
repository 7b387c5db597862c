"""D-08: an export tells of a run's inputs what every surface tells, and no more unasked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.log.left_out import MARK, leave_out, left_out

HIDDEN = "…"


def kept(inputs: Any, shown: Any) -> Any:
    text = leave_out(json.dumps(inputs).encode(), shown)
    return None if text is None else json.loads(text)


def test_a_value_that_is_shown_nowhere_is_left_out_and_named() -> None:
    inputs: dict[str, Any] = {
        "argv": ["x"],
        "env": {"KEY": "s", "PATH": "/bin", "LC_ALL": "C"},
    }
    shown = {"argv": ["x"], "env": dict.fromkeys(inputs["env"], HIDDEN)}
    told = kept(inputs, shown)
    assert told == {**inputs, "env": {**inputs["env"], "KEY": MARK}}
    assert left_out(json.dumps(told).encode()) == ["inputs.env.KEY"]
    assert left_out(json.dumps(inputs).encode()) == []
    assert kept(told, shown) is None, "a second export finds nothing more"


def test_inputs_that_are_shown_whole_stay_as_they_are() -> None:
    assert kept({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) is None


@pytest.mark.parametrize(
    ("inputs", "shown", "names"),
    [
        ({"argv": ["a", "s"]}, {"argv": ["a", "[redacted]"]}, ["inputs.argv.1"]),
        ({"act": {"inputs": {"env": {"K": "s"}}}}, {"act": {"inputs": {"env": {"K": HIDDEN}}}},
         ["inputs.act.inputs.env.K"]),
        ({"a": "s"}, {}, ["inputs.a"]),
        ({"a": ["s", "t"]}, {"a": ["s"]}, ["inputs.a"]),
        ({"PATH": "s"}, {"PATH": HIDDEN}, ["inputs.PATH"]),
    ],
)  # fmt: skip
def test_whatever_a_kind_hides_is_left_out(
    inputs: Any, shown: Any, names: list[str]
) -> None:
    assert left_out(json.dumps(kept(inputs, shown)).encode()) == names
