"""`penstock models` and `penstock context`: what is told, with a daemon and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio

from fakes.cores import Nothing, Seconds, kind
from fakes.history import recorded
from fakes.house_beside import open_house_beside
from fakes.model_server import start_model_server
from fakes.penstock_command import Penstock
from fakes.real_daemon import RealDaemon
from penstock.cli.story_lines import StoryLines
from penstock.llm.prompts import GENERIC
from penstock.pipeline import Run
from penstock.words.events import ModelAnswered, ModelUsed, SentMessage

ROW = {
    "model": "mistral:7b",
    "url": "http://box:11434",
    "window": 8192,
    "window_assumed": True,
    "problem": "",
    "requests": 3,
    "failures": 0,
    "active": 0,
    "waiting": 0,
    "tokens_per_second": 41.234,
    "reported_per_estimated": 1.1,
}


class Measured:
    """Models of which this is known."""

    def for_run(self, run: Run) -> NoReturn:
        raise NotImplementedError

    async def describe(self) -> list[dict[str, Any]]:
        await trio.lowlevel.checkpoint()
        return [ROW]


@pytest.mark.sockets
def test_models_are_listed_with_their_measured_speed(
    penstock: Penstock, socket: Path
) -> None:
    with open_house_beside(socket, models=Measured()):
        shown, told = penstock("models"), penstock("models", "--json")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[1].split() == [
        "mistral:7b", "8192?", "41.2", "3", "http://box:11434", "yes",
    ]  # fmt: skip
    assert json.loads(told.stdout) == ROW


@pytest.mark.processes
def test_without_a_daemon_the_configuration_is_asked(
    penstock: Penstock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = penstock("models")
    assert shown.exit_code == 0
    assert "no model is configured" in shown.stderr
    with start_model_server() as server:
        monkeypatch.setenv("PENSTOCK_MODELS__PROVIDER", "ollama")
        monkeypatch.setenv("PENSTOCK_MODELS__URL", server.url)
        monkeypatch.setenv("PENSTOCK_MODELS__CHAIN", '["mistral:7b", "absent:1b"]')
        shown = penstock("models", "--json")
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert "no daemon is running" in shown.stderr
    assert [(row["model"], row["window"]) for row in rows] == [
        ("mistral:7b", 8192),
        ("absent:1b", 8192),
    ]
    assert "ollama pull absent:1b" in rows[0]["problem"]


async def answers(run: Run, _inputs: Seconds) -> Nothing:
    """As after an answer that could not be used, and one that could."""
    sent = (SentMessage(role="user", content="Task:\na tool"),)
    first = ModelAnswered(
        question="coding.plan", model="small", sent=sent, said="No.", refused="modules: none"
    )  # fmt: skip
    await run.emit(first)
    second = {"attempt": 2, "said": '{"a": 1}', "thoughts": "Hm.", "refused": ""}
    await run.emit(first.model_copy(update=second))
    await run.emit(ModelUsed(model="small", tokens_in=3))
    return Nothing()


def test_of_answers_only_those_that_were_of_no_use_are_part_of_the_story() -> None:
    """EV-13: `run` and `follow` print no line, and no time, for one that was used."""
    used = ModelAnswered(question="coding.plan", model="small", said="Yes.")
    refused = used.model_copy(update={"refused": "modules: none"})
    story = StoryLines()
    assert story.tell(recorded(used, 1)) is None
    line = story.tell(recorded(refused, 2))
    assert line is not None
    assert "small: an answer could not be used: modules: none" in line[1]


@pytest.mark.sockets
def test_what_models_were_sent_is_shown(
    penstock: Penstock, socket: Path, tmp_path: Path
) -> None:
    """A line each, one whole, and all as JSON."""
    with open_house_beside(socket, kind("answers", answers)):
        ran = penstock("run", "answers", "--id", "r")
        listed = penstock("context", "r", "--sent")
        whole = penstock("context", "r", "--sent", "last")
        told = penstock("context", "r", "--sent", "--json")
        wrong = penstock("context", "r", "--sent", "3")
        texts = penstock("artifacts", "r")
        text = penstock("artifacts", "r", "exchange/2", "-o", str(tmp_path / "text"))
        no_text = penstock("artifacts", "r", "exchange/3")
    assert ran.exit_code == 0, ran.stderr
    assert listed.exit_code == 0, listed.stderr
    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["1", "coding.plan", "small", "not", "usable:", "modules:", "none"],
        ["2", "coding.plan", "(2)", "small", '{"a":', "1}"],
    ]
    assert whole.stdout.splitlines() == [
        "--- sent, user", "Task:", "a tool", "--- thought", "Hm.",
        "--- said by small, answer 2", '{"a": 1}',
    ]  # fmt: skip
    assert [json.loads(x)["attempt"] for x in told.stdout.splitlines()] == [1, 2]
    assert wrong.exit_code == 2
    assert "there are 2 exchanges" in wrong.stderr
    names = [line.split()[0] for line in texts.stdout.splitlines()]
    assert names == ["NAME", "exchange/1", "exchange/2"]
    assert text.exit_code == 0, text.stderr
    assert (tmp_path / "text").read_text() == whole.stdout
    assert "it has: exchange/1, exchange/2" in no_text.stderr


def test_a_daemon_that_was_named_is_not_stood_in_for(penstock: Penstock) -> None:
    assert penstock("--url", "http://127.0.0.1:9", "models").exit_code == 69


def call(environ: Mapping[str, str], cwd: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", *words],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_daemon_that_used_a_model_tells_of_it(
    start_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> None:
    """ML-04 end to end: llms-txt by a model, its speed measured, its tokens in the run, its context."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "README.md").write_text("# Thing\n\nA thing.\n")
    with start_model_server() as server:
        daemon = start_daemon(
            PENSTOCK_MODELS__PROVIDER="ollama",
            PENSTOCK_MODELS__URL=server.url,
            PENSTOCK_MODELS__CHAIN='["mistral:7b"]',
        )
        server.script(
            {"match": "Say what a project is for", "fields": {"purpose": "One thing.", "concepts": "[]"}},
            {"match": "File:\nREADME.md", "fields": {"description": "A thing."}},
        )  # fmt: skip
        environ = {**os.environ, **daemon.environ}
        call(environ, tmp_path, "run", "llms-txt", "tree", "--out", "out", "--id", "d")
        (row,) = [json.loads(x) for x in call(environ, tmp_path, "models", "--json").splitlines()]  # fmt: skip
        view = json.loads(call(environ, tmp_path, "show", "d", "--json"))
        told = json.loads(call(environ, tmp_path, "context", "d", "--json"))
        text = call(environ, tmp_path, "context", "d")
    assert "> One thing." in (tmp_path / "out" / "llms.txt").read_text()
    assert row["requests"] == 2
    assert row["tokens_per_second"] > 0
    assert view["tokens_in"] > 0
    layers = {layer["name"]: layer for layer in told["layers"]}
    assert list(layers) == [
        "system prompt",
        "state summary",
        "compressed events",
        "current event",
    ]
    assert layers["system prompt"]["text"] == GENERIC
    assert "status: completed" in layers["state summary"]["text"]
    assert "run.completed" in layers["current event"]["text"]
    assert told["tokens"] == sum(layer["tokens"] for layer in layers.values())
    assert told["model"] == "mistral:7b"
    assert f"together: {told['tokens']} tokens, for mistral:7b" in text
