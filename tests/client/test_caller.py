"""PT-08: what a submit sends of the place it is made in."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.client.messages import name_caller, name_trace
from penstock.client.surroundings import caller_of, shell_environ, with_caller
from penstock.words.address import Address
from penstock.words.surroundings import CALLER_IN_META, unpack_environ
from penstock.words.trace_context import TRACEPARENT

SOCKET = Address("http://localhost", socket=Path("/run/daemon.sock"))
BODY: dict[str, Any] = {"kind": "command", "inputs": {"argv": ["true"]}}


@pytest.mark.processes
def test_the_environment_the_umask_and_the_folder_are_sent(tmp_path: Path) -> None:
    program = (
        "import json, os, sys; from pathlib import Path\n"
        "from penstock.client.surroundings import caller_of\n"
        "from penstock.words.address import Address\n"
        "os.umask(0o027)\n"
        "print(json.dumps(caller_of(os.environ, Address('x', socket=Path('/s')))))"
    )
    environ = {b"BAD": b"\xff\n", b"FOO": b"1", b"PENSTOCK_TOKEN": b"t"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd=tmp_path, check=True,
        capture_output=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert (told["umask"], told["cwd"]) == (0o027, str(tmp_path))
    sent = base64.b64decode(told["environ"])
    # Where no locale is set Python itself adds one, which no shell has said.
    assert set(unpack_environ(sent)) == {"BAD", "FOO", "PENSTOCK_TOKEN"}
    assert b"BAD=\xff\n\0" in sent


@pytest.mark.parametrize(
    ("address", "sends"),
    [
        (SOCKET, True),
        (Address("http://127.0.0.1:9876"), True),
        (Address("http://[::1]:9876"), True),
        (Address("https://localhost"), True),
        (Address("https://box.example:9876"), False),
        (Address("http://10.0.0.7:9876"), False),
    ],
)
def test_a_daemon_of_another_box_is_sent_nothing_of_this_one(
    address: Address, sends: bool
) -> None:
    asked = with_caller(BODY, {"SECRET": "x"}, address)
    assert ("caller" in asked) is sends
    assert {k: v for k, v in asked.items() if k != "caller"} == BODY


@pytest.mark.parametrize("address", [SOCKET, Address("https://box.example:9876")])
def test_the_trace_of_the_shell_is_sent_to_every_daemon(address: Address) -> None:
    """HO-05: `TRACEPARENT` of `penstock run` and `submit`; what is none is no reason to be refused."""
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    asked = with_caller(BODY, {TRACEPARENT: given}, address)
    assert asked["traceparent"] == given
    for wrong in ("", "of the shell", given + "\n"):
        assert "traceparent" not in with_caller(BODY, {TRACEPARENT: wrong}, address)


def test_a_folder_that_was_removed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    caller = caller_of({}, SOCKET)
    assert caller is not None
    assert "cwd" not in caller


def test_what_the_shell_did_not_say_is_not_of_its_environment() -> None:
    started_with = Path("/proc/self/environ").read_bytes().split(b"\0")
    said = any(piece.startswith(b"LC_CTYPE=") for piece in started_with)
    assert ("LC_CTYPE" in shell_environ({"LC_CTYPE": "C.UTF-8"})) is said
    assert shell_environ({"FOO": "1"}) == {"FOO": "1"}


def test_a_call_of_a_tool_says_in_which_trace_the_agent_was_started() -> None:
    """HO-05: of any tool, since any may start a run; what the agent says itself goes first."""
    asked = {"method": "tools/call", "params": {"name": "retry_run", "_meta": {"a": 1}}}
    before = repr(asked)
    told = name_trace(asked, "00-…")
    assert told["params"] == {"name": "retry_run", "_meta": {"a": 1, "traceparent": "00-…"}}  # fmt: skip
    assert repr(asked) == before
    assert name_trace(told, "01-…") is told
    assert name_trace(asked, None) is asked
    for message in ({"method": "tools/list", "params": {}}, {"method": "tools/call"}):
        assert name_trace(message, "00-…") is message


@pytest.mark.parametrize("tool", ["start_run", "start_coding_task", "run_command"])
def test_an_agents_call_that_starts_a_run_says_where_the_agent_works(tool: str) -> None:
    caller = {"environ": "", "umask": 18}
    asked = {
        "method": "tools/call",
        "id": 1,
        "params": {"name": tool, "arguments": {"a": 1}, "_meta": {"progressToken": 2}},
    }
    before = repr(asked)
    told = name_caller(asked, caller)
    assert told["params"]["_meta"] == {"progressToken": 2, CALLER_IN_META: caller}
    assert told["params"]["arguments"] == {"a": 1}
    assert repr(asked) == before
    assert name_caller(asked, None) is asked


@pytest.mark.parametrize(
    "message",
    [
        {"method": "tools/call", "params": {"name": "wait_run"}},
        {"method": "tools/list", "params": {"name": "start_run"}},
        {"method": "tools/call"},
        {"id": 1, "result": {}},
    ],
)
def test_every_other_message_passes_as_it_is(message: dict[str, Any]) -> None:
    assert name_caller(message, {"environ": ""}) is message


def test_this_process_knows_its_umask() -> None:
    caller = caller_of(os.environ, SOCKET)
    assert caller is not None
    assert isinstance(caller["umask"], int)
