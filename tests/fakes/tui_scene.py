"""Facts for a dashboard to show: a busy afternoon, and as many runs as wanted."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from penstock.log.projections import RunView
from penstock.words import events as e
from penstock.words.recorded import Recorded
from penstock.words.wait_reason import Waiting

#: The moment of frozen pictures.
FROZEN = datetime(2026, 1, 2, 17, 46, 31, tzinfo=UTC)


@dataclass
class World:
    """Recorded facts and the views folded from them; it decides nothing."""

    now: datetime = FROZEN
    log: list[Recorded] = field(default_factory=list)
    views: dict[str, RunView] = field(default_factory=dict)
    _ids: random.Random = field(default_factory=lambda: random.Random(7))

    def record(
        self,
        run_id: str,
        event: e.AnyEvent,
        ago: float = 0.0,
        *,
        code_version: int | None = None,
        clock: Mapping[str, int] | None = None,
        causation_id: UUID | None = None,
    ) -> Recorded:
        """Add a fact, `ago` seconds before now."""
        view = (
            self.views.setdefault(run_id, RunView(run_id))
            if run_id != "daemon"
            else RunView("daemon")
        )
        sequence = view.sequence + 1 if run_id != "daemon" else 1
        fact = Recorded(
            position=len(self.log) + 1,
            run_id=run_id,
            sequence=sequence,
            event_id=UUID(int=self._ids.getrandbits(128), version=4),
            at=self.now - timedelta(seconds=ago),
            clock=clock or {"a1b2": len(self.log) + 1},
            causation_id=causation_id,
            code_version=view.code_version if code_version is None else code_version,
            type=event.type,
            body=e.encode_event(event),
        )
        self.log.append(fact)
        if run_id != "daemon":
            view.apply(fact)
        return fact

    def begin(self) -> None:
        """The daemon's own first fact."""
        started = e.DaemonStarted(version="0.1.0", life="a1b2")
        self.record(e.DAEMON_STREAM, started, 273_900)

    def submit(
        self,
        run_id: str,
        kind: str,
        inputs: dict[str, Any],
        priority: int,
        ago: float,
        **rest: Any,
    ) -> None:
        """A run that stands in line."""
        self.record(
            run_id,
            e.RunQueued(kind=kind, priority=priority, inputs=inputs, **rest),
            ago,
        )

    def start(self, run_id: str, ago: float) -> None:
        """A run that executes."""
        view = self.views[run_id]
        self.record(run_id, e.RunStarted(kind=view.kind), ago)


def busy_afternoon(world: World) -> World:
    """Every state, an ask, a failure, a stuck run, a tree, a nearly full queue, alerts.

    In the order in which a core with five slots records them.
    """
    world.begin()
    _ended(world)
    world.record(
        "daemon",
        e.BackpressureRaised(gauge="queue", level="warning", used=82, capacity=100),
        620,
    )
    _llms_txt(world)
    _coding(world)
    _loop(world)
    _ask(world)
    _commands(world)
    _queue(world)
    world.record("daemon", e.SubscriberLagged(subscriber="mcp-2", dropped=120), 110)
    _newest(world)
    return world


def _ended(world: World) -> None:
    for number, (argv, end) in enumerate(
        (
            (["make", "lint"], "completed"),
            (["uv", "run", "pytest", "-q"], "completed"),
            (["cargo", "build", "--release"], "cancelled"),
            (["make", "docs"], "completed"),
            (["npm", "ci"], "completed"),
        )
    ):
        run_id, ago = f"r-{0x0A10 + number * 37:04x}", 5400.0 - number * 300
        world.submit(run_id, "command", {"argv": argv}, 20, ago)
        world.start(run_id, ago - 5)
        if end == "completed":
            world.record(run_id, e.RunCompleted(result={"exit_code": 0}), ago - 95)
        else:
            world.record(run_id, e.RunCancelRequested(reason="requested"), ago - 60)
            world.record(run_id, e.RunCancelled(reason="requested"), ago - 60)


def _llms_txt(world: World) -> None:
    run_id = "r-1b58"
    world.submit(
        run_id, "llms-txt", {"source": "https://github.com/Textualize/textual"}, 10, 410
    )
    world.start(run_id, 406)
    world.record(
        run_id, e.Milestone(name="repo_fetched", metadata={"files": 1204}), 380
    )
    world.record(run_id, e.Milestone(name="analysis_started"), 379)
    for step in range(8):
        world.record(
            run_id, e.Progress(step="analyse", fraction=step / 20), 370 - step * 20
        )
        world.record(
            run_id,
            e.Log(text=f"module {step * 12 + 3}/104: textual.widgets._part{step}\n"),
            369 - step * 20,
        )
    world.record(
        run_id, e.Log(text="context 7,900/8,192 tokens: summarised 3 modules\n"), 200
    )
    world.record(run_id, e.Milestone(name="generation_started"), 190)
    text = (
        "# Textual\n\n> A Rapid Application Development framework for Python.\n\n## Docs\n\n"
        "- [Guide](docs/guide/app.md): apps, screens, events\n- [Widgets](docs/widgets/): the catalogue\n"
    )
    for begin in range(0, len(text), 24):
        world.record(
            run_id,
            e.ArtifactPartial(artifact_id="llms.txt", text=text[begin : begin + 24]),
            180 - begin / 3,
        )
    world.record(run_id, e.Progress(step="generate", fraction=0.62), 4)


def _coding(world: World) -> None:
    run_id, clock = "r-1b7d", {"a1b2": 90, "agent": 4}
    world.submit(
        run_id, "coding", {"prompt": "fix the staleness rule in projections"}, 0, 320
    )
    world.start(run_id, 318)
    world.record(run_id, e.PlanCompleted(summary="2 modules: rule, tests"), 300)
    first = world.record(
        run_id,
        e.CodeGenerated(module="rule", code_hash="9f31", files=("rule.py",)),
        250,
        code_version=1,
        clock=clock,
    )
    failed = world.record(
        run_id,
        e.TestFailed(module="rule", summary="1 failed, 11 passed"),
        240,
        causation_id=first.event_id,
    )
    world.record(
        run_id,
        e.CorrectionStarted(module="rule", cause="test"),
        238,
        causation_id=failed.event_id,
    )
    world.record(
        run_id,
        e.CorrectionCompleted(module="rule", code_hash="a772", files=("rule.py",)),
        150,
        code_version=2,
        clock={"a1b2": 99, "agent": 6},
    )
    used = e.ModelUsed(
        model="qwen3:8b", tokens_in=11_200, tokens_out=1_940, cost=0.0021, seconds=41.0
    )
    world.record(run_id, used, 148)
    world.record(
        run_id,
        e.BugReported(
            text="None is not handled", module="rule", version=1, verdict="stale"
        ),
        120,
    )
    world.record(run_id, e.TestPassed(module="rule", summary="12 passed"), 60)
    world.record(run_id, e.Progress(step="test", fraction=0.53), 5)


def _loop(world: World) -> None:
    inputs = {"goal": "raise the coverage to 90 %", "kinds": ["command", "coding"]}
    world.submit("r-1ba2", "loop", inputs, 20, 290)
    world.start("r-1ba2", 288)
    argv = {"argv": ["coverage", "run"]}
    world.submit("r-1ba2.turn-1", "command", argv, 20, 280, parent_id="r-1ba2")
    world.record("r-1ba2", e.RunWaiting.of(Waiting("child", "turn-1")), 280)
    world.start("r-1ba2.turn-1", 279)
    world.record("r-1ba2.turn-1", e.RunCompleted(result={"exit_code": 0}), 210)
    world.record("r-1ba2", e.RunResumed(attempt=1), 210)
    step = e.StepCompleted(name="turn-1", child_id="r-1ba2.turn-1")
    world.record("r-1ba2", step, 209)
    prompt = {"prompt": "test the error paths of door.py"}
    world.submit("r-1ba2.turn-2", "coding", prompt, 20, 205, parent_id="r-1ba2")
    world.record("r-1ba2", e.RunWaiting.of(Waiting("child", "turn-2")), 205)
    world.start("r-1ba2.turn-2", 204)
    world.record("r-1ba2.turn-2", e.Progress(step="generate", fraction=0.26), 6)


def _commands(world: World) -> None:
    world.submit("r-1c01", "command", {"argv": ["pg_restore", "dump.sql"]}, 10, 720)
    world.start("r-1c01", 719)
    failed = e.RunFailed(
        reason="error", error="exit status 3", details={"exit_code": 3}
    )
    world.record("r-1c01", failed, 200)
    world.submit("r-1bc7", "command", {"argv": ["make", "test"]}, 20, 298)
    world.start("r-1bc7", 297)
    world.record(
        "r-1bc7",
        e.ProcessStarted(
            pid=1001,
            start_time=1,
            boot_id="boot",
            method="subreaper",
            argv=("make", "test"),
        ),
        296,
    )
    for number in range(12):
        world.record(
            "r-1bc7",
            e.Log(
                text=f"tests/test_{number:02d}.py \x1b[32m.......\x1b[0m \x1b[36m[{number * 8:3d}%]\x1b[0m\n",
                stream="stdout",
            ),
            290 - number * 8,
        )
    world.record(
        "r-1bc7", e.Log(text="warning: deprecated option\n", stream="stderr"), 120
    )
    world.submit(
        "r-1bec", "command", {"argv": ["./train.sh", "--epochs", "40"]}, 40, 255
    )
    world.start("r-1bec", 254)
    world.record("r-1bec", e.Progress(step="epoch 21", fraction=0.53), 8)


def _queue(world: World) -> None:
    titles = (
        ["make", "bench"],
        ["ruff", "check"],
        ["mypy", "--strict"],
        ["make", "docs"],
        ["tox", "-e", "py313"],
    )
    number = 0
    for priority, count in ((0, 1), (10, 12), (20, 34), (30, 22), (40, 9)):
        for _ in range(count):
            run_id = f"r-{0x1C11 + number * 37:04x}"
            world.submit(
                run_id,
                "command",
                {"argv": titles[number % len(titles)]},
                priority,
                180 - number,
            )
            number += 1


def _ask(world: World) -> None:
    world.submit("r-1d00", "coding", {"prompt": "release 0.2"}, 0, 190)
    world.start("r-1d00", 188)
    world.record(
        "r-1d00",
        e.AskRaised(
            name="branch", question="which branch?", choices=("main", "release")
        ),
        95,
    )
    world.record("r-1d00", e.RunWaiting.of(Waiting("ask", "branch")), 95)


def _newest(world: World) -> None:
    world.record(
        "r-1bc7",
        e.Log(
            text="tests/test_door.py \x1b[32m..........\x1b[0m \x1b[36m[ 96%]\x1b[0m\n",
            stream="stdout",
        ),
        3,
    )
    world.record("r-1b7d", e.Progress(step="test", fraction=0.55), 2)
    world.record(
        "r-1b58",
        e.ArtifactPartial(
            artifact_id="llms.txt", text="- [API](docs/api/): every class\n"
        ),
        1,
    )
    world.record("r-1ba2.turn-2", e.Progress(step="generate", fraction=0.31), 0.4)


def many_runs(world: World, count: int) -> World:
    """`count` runs, every tenth of them running, and no slot free."""
    running = range(0, count, 10)
    for number in sorted(range(count), key=lambda number: number not in running):
        run_id, argv = f"run-{number:04d}", ["make", f"part-{number}"]
        priority = (0, 10, 20, 30, 40)[number % 5]
        world.submit(run_id, "command", {"argv": argv}, priority, 600)
        if number in running:
            world.start(run_id, 500)
    return world


def any_fact(number: int, dice: random.Random) -> e.AnyEvent:
    """What some run that executes says: mostly text, as a model streams it."""
    roll = dice.random()
    if roll < 0.7:
        return e.ArtifactPartial(artifact_id="out.md", text=f"token {number} ")
    if roll < 0.9:
        return e.Progress(step="write", fraction=dice.random())
    return e.Log(text=f"line {number}\n")
