"""Redaction: what must not be read later is never recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio.testing

from fakes.cores import (
    Nothing,
    Seconds,
    fake_environment,
    kind,
    open_fake_core,
    request,
    wait_ended,
    whole_log,
)
from penstock.log.redaction import REDACTED, make_redaction
from penstock.runs.run import Run
from penstock.words.errors import PenstockError, StartRefused
from penstock.words.events import Milestone

SECRET = "tok-1234567890"


async def tell(run: Run, _inputs: Seconds) -> Nothing:
    """Say the secret in every way a run has."""
    await run.log(f"the token is {SECRET}, and password=hunter2")
    await run.emit(Milestone(name="m", metadata={"deep": [{"x": SECRET}]}))
    async with run.artifact("a.txt") as artifact:
        await artifact.write(SECRET)
    raise PenstockError(f"it ends with {SECRET}")


async def test_a_secret_is_in_no_fact_but_an_artifact(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """API-07: of a log line, of nested data, of a failure, of labels and inputs as shown."""
    redact = make_redaction([r"password=\S+"], [SECRET])
    environment = replace(fake_environment(), redact=redact)
    async with open_fake_core(kind("tell", tell), environment=environment) as core:
        await core.scheduler.submit(request("tell", "t"))
        await wait_ended(core, "t")
        bodies = {fact.type: fact.body.decode() for fact in await whole_log(core.store)}
        assert f"the token is {REDACTED}, and {REDACTED}" in bodies["log"]
        assert REDACTED in bodies["milestone"]
        assert REDACTED in bodies["run.failed"]
        assert SECRET in bodies.pop("artifact.partial")
        assert not [body for body in bodies.values() if SECRET in body]


def test_without_secrets_or_patterns_nothing_is_touched() -> None:
    """The way of every fact of most daemons."""
    write: object = object()
    assert make_redaction([], [""])(write) is write  # type: ignore[arg-type]


def test_a_pattern_that_is_none_is_named() -> None:
    """APP-02"""
    with pytest.raises(StartRefused, match=r"redact: '\('"):
        make_redaction(["("])
