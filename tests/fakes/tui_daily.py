"""A load as in daily use, for pictures: failures, a loop, Japanese, colours, a group, a long line."""

from __future__ import annotations

import hashlib
from typing import Any

from fakes.tui_scene import World
from penstock.words import events as e
from penstock.words.wait_reason import Waiting

RED, GREEN, CYAN, BOLD, OFF = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[1m", "\x1b[0m"

#: What a failing test run prints at its end.
FAILURES = (
    f"tests/test_api.py {GREEN}....{OFF}{RED}F{OFF}{GREEN}....{OFF} {CYAN}[ 41%]{OFF}\n",
    f"tests/test_日付.py {GREEN}............{OFF} {CYAN}[ 87%]{OFF}\n",
    f"tests/test_zones.py {GREEN}..{OFF}{RED}F{OFF} {CYAN}[100%]{OFF}\n",
    f"{BOLD}=================== FAILURES ==================={OFF}\n",
    f"{BOLD}{RED}_________________ test_paging __________________{OFF}\n",
    "    def test_paging(client):\n",
    "        page = client.get('/items?limit=2')\n",
    f"{BOLD}{RED}E       assert 1 == 2{OFF}\n",
    f"{BOLD}{RED}E        +  where 1 = len([{{'名前': '水路'}}]){OFF}\n",
    f"{RED}FAILED{OFF} tests/test_api.py::test_paging - assert 1 == 2\n",
    f"{RED}FAILED{OFF} tests/test_zones.py::test_夏時間 - KeyError: 'Asia/Tokyo'\n",
    f"{RED}2 failed{OFF}, {GREEN}41 passed{OFF} in 4.12s\n",
)


def minted(name: str) -> str:
    """An id as the daemon makes them, the same each time."""
    return f"r-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def daily_load(world: World) -> World:
    """In the order in which a core with five slots, of which one is the disk's, records them."""
    world.begin()
    for name, argv, ago, end in (
        ("lint", ["ruff", "check", "."], 7200, "completed"),
        ("unit", ["make", "unit"], 6100, "completed"),
        ("nightly", ["cargo", "build", "--release"], 5200, "cancelled"),
        ("", ["npm", "ci"], 3900, "completed"),
        ("文書", ["make", "-C", "docs", "html"], 2400, "completed"),
    ):
        _ended(world, name, argv, ago, end)
    _failed(world, "deploy", ["ssh", "web-1", "bin/deploy", "v2.3.1"], 800, 1, (
        "web-1: release v2.3.1\n", "web-1: migrations … ok\n",
        f"web-1: {RED}health check failed{OFF} after 30 s\n"))  # fmt: skip
    _failed(world, "tests", ["pytest", "-q"], 420, 2, FAILURES)
    _asks(world)
    _loop(world)
    _running(world)
    _line(world)
    return world


def _submit(
    world: World,
    name: str,
    argv: list[str],
    ago: float,
    priority: int = 20,
    **rest: Any,
) -> str:
    run_id = minted(name or " ".join(argv))
    labels = {"name": name} if name else {}
    inputs = {"argv": argv, "cwd": "/home/kim/src/水路"}
    world.submit(run_id, "command", inputs, priority, ago, labels=labels, **rest)
    return run_id


def _ended(world: World, name: str, argv: list[str], ago: float, end: str) -> None:
    run_id = _submit(world, name, argv, ago)
    world.start(run_id, ago - 2)
    if end == "completed":
        world.record(run_id, e.RunCompleted(result={"exit_code": 0}), ago - 131)
        return
    world.record(run_id, e.RunCancelRequested(reason="requested"), ago - 90)
    world.record(run_id, e.RunCancelled(reason="requested"), ago - 90)


def _failed(
    world: World,
    name: str,
    argv: list[str],
    ago: float,
    code: int,
    said: tuple[str, ...],
) -> None:
    run_id = _submit(world, name, argv, ago)
    world.start(run_id, ago - 1)
    for number, text in enumerate(said):
        world.record(run_id, e.Log(text=text, stream="stdout"), ago - 2 - number * 20)
    failed = e.RunFailed(
        reason="error", error=f"exit status {code}", details={"exit_code": code}
    )
    world.record(run_id, failed, ago - 252)


def _loop(world: World) -> None:
    run_id = minted("poller")
    inputs = {"until": "curl -sf web-1/ready", "act": "bin/nudge web-1"}
    world.submit(run_id, "loop", inputs, 20, 521, labels={"name": "poller"})
    world.start(run_id, 520)
    for turn in range(1, 5):
        child, ago = f"{run_id}.turn-{turn}", 520.0 - turn * 100
        argv = {"argv": ["bin/nudge", "web-1"]}
        world.submit(child, "command", argv, 20, ago, parent_id=run_id)
        world.record(run_id, e.RunWaiting.of(Waiting("child", f"turn-{turn}")), ago)
        world.start(child, ago - 1)
        if turn < 4:
            world.record(child, e.RunCompleted(result={"exit_code": 0}), ago - 40)
            world.record(run_id, e.RunResumed(attempt=1), ago - 40)


def _running(world: World) -> None:
    build = _submit(world, "build", ["ninja", "-C", "out"], 603)
    world.start(build, 603)
    for number in range(360, 373):
        text = f"[{number}/600] {CYAN}CXX{OFF} obj/水路/弁_{number}.o\n"
        world.record(build, e.Log(text=text, stream="stdout"), 380 - number)
    world.record(build, e.Progress(step="", fraction=0.62), 2)
    convert = _submit(world, "変換", ["ffmpeg", "-i", "講演.mov", "講演.webm"], 240)
    world.start(convert, 240)
    world.record(convert, e.Progress(step="", fraction=0.31), 3)
    backup = _submit(
        world, "backup", ["rsync", "-a", "/home", "nas:/home"], 200, group="disk"
    )
    world.start(backup, 200)
    world.record(backup, e.Progress(step="", fraction=0.84), 1)
    train = _submit(world, "", ["./train.sh", "--epochs", "40"], 190, 40)
    world.start(train, 190)


def _asks(world: World) -> None:
    run_id = minted("release")
    prompt, labels = {"prompt": "release 0.2"}, {"name": "release"}
    world.submit(run_id, "coding", prompt, 0, 696, labels=labels)
    world.start(run_id, 695)
    question, choices = "which branch?", ("main", "release")
    asked = e.AskRaised(name="branch", question=question, choices=choices)
    world.record(run_id, asked, 640)
    world.record(run_id, e.RunWaiting.of(Waiting("ask", "branch")), 640)


def _line(world: World) -> None:
    hotfix = {"argv": ["make", "hotfix"]}
    labels = {"name": "hotfix"}
    world.submit(minted("hotfix"), "command", hotfix, 10, 90, labels=labels)
    _submit(world, "scrub", ["zpool", "scrub", "tank"], 80, group="disk")
    _submit(world, "announce", ["bin/announce", "v2.3.1"], 70, after=(minted("build"),))
    for number in range(1, 41):
        clip = f"clip-{number:04d}.mov"
        _submit(world, "", ["bin/convert", "--to", "av1", clip], 66 - number)
