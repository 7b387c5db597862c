"""A `Run` in memory, so that a pipeline can be driven without a daemon.

It keeps every reported fact in order and has the promises of the real one: declared milestones
only, a milestone flushes pending text first, partials joined are the artifact, steps are done once.
Commands run by `trio.run_process`, without the containment of the real thing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from penstock.words.config import Config
from penstock.words.errors import ProcessFailed, Refused
from penstock.words.events import (
    ArtifactCompleted,
    ArtifactPartial,
    Fact,
    Log,
    Milestone,
    Progress,
    StepCompleted,
)


@dataclass(frozen=True)
class Executed:
    exit_code: int | None
    signal: int | None
    stdout: bytes = b""


class FakeArtifact:
    """Holds back text until `hold` characters are pending, as a throttle would."""

    def __init__(self, run: FakeRun, artifact_id: str, hold: int) -> None:
        self.artifact_id = artifact_id
        self.path: str | None = None
        self.digest = hashlib.sha256()
        self.size = 0
        self._run = run
        self._pending = ""
        self._hold = hold

    async def write(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.digest.update(text.encode())
        self.size += len(text.encode())
        self._pending += text
        if len(self._pending) > self._hold:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            self._run.facts.append(
                ArtifactPartial(artifact_id=self.artifact_id, text=self._pending)
            )
        self._pending = ""


@dataclass
class FakeRun:
    """`home` is the folder of the workspace, `milestones` the names the kind declares."""

    home: Path
    milestones: frozenset[str] = frozenset()
    run_id: str = "run-1"
    attempt: int = 1
    has_models: bool = False
    config: Config = field(default_factory=Config)
    hold: int = 1000
    facts: list[Fact] = field(default_factory=list)
    steps: dict[str, Any] = field(default_factory=dict)
    commands: list[tuple[tuple[str, ...], dict[str, str]]] = field(default_factory=list)
    _open: list[FakeArtifact] = field(default_factory=list)

    async def workspace(self) -> Path:
        await trio.lowlevel.checkpoint()
        folder = self.home / self.run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def progress(self, step: str, fraction: float | None = None) -> None:
        await self.emit(Progress(step=step, fraction=fraction))

    async def milestone(self, name: str, /, **metadata: Any) -> None:
        if name not in self.milestones:
            raise Refused("milestone", f"{name!r} is not declared by the kind")
        json.dumps(metadata, allow_nan=False)
        for artifact in self._open:
            artifact.flush()
        await self.emit(Milestone(name=name, metadata=metadata))

    async def emit(self, event: Fact) -> None:
        await trio.lowlevel.checkpoint()
        self.facts.append(event)

    async def log(self, text: str) -> None:
        await self.emit(Log(text=text))

    async def step(self, name: str, fn: Callable[[], Awaitable[Any]]) -> Any:
        if name not in self.steps:
            self.steps[name] = await fn()
            await self.emit(StepCompleted(name=name, result=self.steps[name]))
        return self.steps[name]

    @asynccontextmanager
    async def artifact(self, artifact_id: str) -> AsyncGenerator[FakeArtifact, None]:
        artifact = FakeArtifact(self, artifact_id, self.hold)
        self._open.append(artifact)
        try:
            yield artifact
        finally:
            self._open.remove(artifact)
            artifact.flush()
        await self.emit(
            ArtifactCompleted(
                artifact_id=artifact_id,
                size=artifact.size,
                sha256=artifact.digest.hexdigest(),
                path=artifact.path,
            )
        )

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        check: bool = True,
        capture: bool = False,
        on_stdout: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> Executed:
        self.commands.append((tuple(argv), dict(env or {})))
        ended = await trio.run_process(
            list(argv),
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=stdin,
            check=False,
            capture_stdout=True,
            capture_stderr=True,
        )
        for start in range(0, len(ended.stdout) if on_stdout else 0, 1000):
            assert on_stdout is not None
            await on_stdout(ended.stdout[start : start + 1000])
        said = ended.stderr if capture or on_stdout else ended.stdout + ended.stderr
        if said:
            await self.log(said.decode(errors="replace"))
        if check and ended.returncode != 0:
            raise ProcessFailed(f"{argv[0]} ended with status {ended.returncode}")
        kept = ended.stdout[: self.config.output_head_bytes] if capture else b""
        code = ended.returncode
        return Executed(code if code >= 0 else None, -code if code < 0 else None, kept)

    # -- what tests ask

    def names(self) -> list[str]:
        """The milestones in order."""
        return [fact.name for fact in self.facts if isinstance(fact, Milestone)]

    def text_of(self, artifact_id: str) -> str:
        """The partials of one artifact, joined."""
        return "".join(
            fact.text
            for fact in self.facts
            if isinstance(fact, ArtifactPartial) and fact.artifact_id == artifact_id
        )

    def completed(self, artifact_id: str) -> list[ArtifactCompleted]:
        """The completions of one artifact: none or one."""
        return [
            fact
            for fact in self.facts
            if isinstance(fact, ArtifactCompleted) and fact.artifact_id == artifact_id
        ]
