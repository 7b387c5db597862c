"""NUL is in no text: it ends a C string, so what was said and what is done would differ."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.house import open_house
from penstock.server.mcp.tools import TOOLS
from penstock.words.api import Sent, SubmitRequest, read_json
from penstock.words.errors import Refused
from penstock.words.events import RunWaiting
from penstock.words.text import find_nul

pytestmark = pytest.mark.sockets

SENT: list[tuple[str, dict[str, Any], str]] = [
    ("/runs", {"kind": "e\0cho"}, "kind"),
    ("/runs", {"kind": "echo", "inputs": {"text": "a\0"}}, "inputs.text"),
    ("/runs", {"kind": "command", "inputs": {"argv": ["a", "\0"]}}, "inputs.argv.1"),
    ("/runs", {"kind": "command", "inputs": {"env": {"A": "\0"}}}, "inputs.env.A"),
    ("/runs", {"kind": "command", "inputs": {"env": {"A\0": ""}}}, "inputs.env"),
    ("/runs", {"kind": "command", "inputs": {"cwd": "/\0"}}, "inputs.cwd"),
    ("/runs", {"kind": "echo", "labels": {"a": "\0"}}, "labels.a"),
    ("/runs", {"kind": "echo", "labels": {"a\0b": "c"}}, "labels"),
    ("/runs", {"kind": "echo", "group": "a\0"}, "group"),
    ("/runs", {"kind": "echo", "after": ["a\0"]}, "after"),
    ("/runs/r/cancel", {"reason": "\0"}, "reason"),
    ("/runs/r/interventions", {"text": "a\0b"}, "text"),
    ("/runs/r/bug-reports", {"text": "a\0", "version": 0}, "text"),
    ("/runs/r/bug-reports", {"text": "a", "version": 0, "module": "\0"}, "module"),
    ("/runs/r/asks/go%20on%3F", {"answer": "\0yes"}, "answer"),
    ("/tasks", {"prompt": "a\0"}, "prompt"),
    ("/tasks", {"prompt": "a", "answers": ["", "\0"]}, "answers.1"),
    ("/queue/pause", {"reason": "\0"}, "reason"),
]


@pytest.mark.parametrize(("path", "body", "field"), SENT)
async def test_a_nul_is_refused_by_its_field(
    path: str, body: dict[str, Any], field: str
) -> None:
    """API-08 ER-02: 400 on every route that takes text, and nothing is recorded."""
    async with open_house() as house, house.http() as client:
        await house.start("r", "question")
        await house.wait_fact("r", RunWaiting)
        before = house.core.bus.head
        answer = await client.post(path, json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["detail"].startswith(f"{field}")
        assert "NUL" in answer.json()["detail"]
        assert house.core.bus.head == before


@pytest.mark.parametrize("path", ["/runs?q=a%00b", "/runs/a%00b", "/events?after=%00"])
async def test_a_nul_in_an_address_is_refused(path: str) -> None:
    """API-08"""
    async with open_house() as house, house.http() as client:
        answer = await client.get(path)
        assert answer.status_code == 400
        assert "NUL" in answer.json()["detail"]


def test_what_agents_send_is_judged_as_everything_else() -> None:
    """API-08 MCP-02: the check belongs to what all requests are made of."""
    for name, tool in TOOLS.items():
        assert issubclass(tool.takes, Sent), name
    with pytest.raises(ValueError, match="NUL"):
        TOOLS["cancel_run"].takes.model_validate({"run_id": "r", "reason": "a\0"})


def test_the_place_of_a_nul_is_found_however_deep_it_is() -> None:
    """ER-02"""
    assert find_nul({"a": [1, None, {"b": ["", "x\0"]}]}) == ("a", 2, "b", 1)
    assert find_nul({"a": {"b\0": 1}}) == ("a",)
    assert find_nul(["\u2400", "", {"a": True}]) is None
    with pytest.raises(Refused, match=r"^inputs\.a: must not contain NUL$"):
        read_json(SubmitRequest, b'{"kind": "x", "inputs": {"a": "\\u0000"}}')
