"""TU-03: the words that the dashboard tells for what was done by a key do the same on the command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from fakes.penstock_command import Penstock
from penstock_tui.equivalents import every_command, submit_command

pytestmark = [pytest.mark.sockets, pytest.mark.usefixtures("daemon")]

REQUESTS = [
    {
        "kind": "command",
        "inputs": {"argv": ["make", "a b", "-x"], "cwd": "/", "stdin": "open"},
        "labels": {"name": "n", "k": "v w"}, "timeout": 5400.0, "priority": "HIGH",
    },
    {
        "kind": "command",
        "inputs": {"shell": "make | tee log", "env": {"TOKEN": "x"}, "exit_codes_ok": [0, 2]},
        "retries": 2, "backoff": 90.0,
    },
    {
        "kind": "llms-txt",
        "inputs": {"source": "/tmp", "name": "Ein Wörterbuch", "model": False},
        "labels": {"name": "n"}, "priority": "LOW",
    },
]  # fmt: skip


def check_asked(told: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Everything that was asked for is told. Of variables there are the names."""
    inputs = dict(request["inputs"])
    assert told["inputs"].get("env", {}).keys() == inputs.pop("env", {}).keys()
    assert inputs == {name: told["inputs"].get(name) for name in inputs}


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_a_form_asked_for_is_asked_for_by_its_words(
    penstock: Penstock, request_: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every kind, whatever stands in the form."""
    monkeypatch.setenv("TOKEN", "x")
    # Later, so that it is looked at before it begins.
    wanted = {**request_, "run_id": "r", "delay": 3600.0}
    asked = penstock(*shlex.split(submit_command(wanted))[1:])
    assert (asked.exit_code, asked.stdout) == (0, "r\n"), asked.stderr
    told = json.loads(penstock("show", "r", "--json").stdout)
    check_asked(told, request_)
    options = {"kind", "labels", "priority", "retries", "timeout"}
    for name in options & request_.keys():
        assert told[name] == request_[name], name


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_makes_a_schedule_of_it_does_so_by_its_words(
    penstock: Penstock, request_: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DU-04: under the name that was chosen."""
    monkeypatch.setenv("TOKEN", "x")
    words = every_command("1d", "nightly", request_)
    asked = penstock(*shlex.split(words)[1:])
    assert asked.exit_code == 0, asked.stderr
    [told] = json.loads(penstock("schedules", "--json").stdout)["schedules"]
    assert (told["name"], told["timing"]) == ("nightly", "1d")
    check_asked(told, request_)
