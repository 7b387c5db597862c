"""The daemon's numbers: counted in virtual time, asked for over real sockets."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families

from fakes.cores import (
    Nothing,
    Seconds,
    kind,
    open_fake_core,
    request,
    wait_ended,
)
from fakes.history import recorded
from penstock.log.new_events import new_event
from penstock.log.projections import RunView
from penstock.log.writes import Append
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.server.meter import Distribution, Meter, attach_meter
from penstock.server.metrics import make_renderer
from penstock.service.daemon import Vitals, open_daemon
from penstock.service.watchdog import WatchdogStatistics
from penstock.words.address import read_token
from penstock.words.config import Config, Group
from penstock.words.events import Log, ModelUsed

Clock = trio.testing.MockClock
Numbers = Mapping[str, float]


def numbers(text: bytes) -> Numbers:
    """Every sample by its name and labels, as `name{label=value}`."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def read(core: Core, meter: Meter, read_loop: Any = None) -> Numbers:
    text, _content_type = make_renderer(core, meter, read_loop)("")
    return numbers(text)


LATE = WatchdogStatistics(lag=0.25, stalls=2, longest_stall=7.5)


async def wait_a_while(_run: Run, inputs: Seconds) -> Nothing:
    try:
        await trio.sleep(inputs.seconds)
    finally:
        with trio.move_on_after(2, shield=True):
            await trio.sleep(0.2)
    return Nothing()


SLOW = kind("slow", wait_a_while, preemptible=True)


def test_a_tally_counts_up_to_its_bounds() -> None:
    tally = Distribution((1, 10))
    for value in (0, 1, 1.5, 10, 11):
        tally.add(value)
    assert (tally.counts, tally.total) == ([2, 2, 1], 23.5)


async def test_times_of_runs_are_those_of_the_log(autojump_clock: Clock) -> None:
    """QA-04"""
    async with open_fake_core(SLOW, max_concurrent=1) as core:
        meter = attach_meter(core)
        for name, seconds in (("a", 4), ("b", 20)):
            await core.submitter.submit(request(run_id=name, seconds=seconds))
        await core.submitter.submit(request(run_id="bad", fail=True, priority="LOW"))
        await wait_ended(core, "a", "b", "bad")
        seen = read(core, meter)
    waited = "penstock_run_wait_seconds"
    assert seen[f"{waited}_count{{priority=MEDIUM}}"] == 2
    assert seen[f"{waited}_sum{{priority=MEDIUM}}"] == pytest.approx(4, abs=0.1)
    assert seen[f"{waited}_sum{{priority=LOW}}"] == pytest.approx(24, abs=0.1)
    assert seen[f"{waited}_bucket{{le=1.0,priority=MEDIUM}}"] == 1
    assert seen[f"{waited}_bucket{{le=5.0,priority=MEDIUM}}"] == 2
    assert seen["penstock_run_seconds_sum{kind=sleep}"] == pytest.approx(24, abs=0.1)
    assert seen["penstock_runs_ended_total{kind=sleep,state=completed}"] == 2
    assert seen["penstock_runs_ended_total{kind=sleep,state=failed}"] == 1


async def test_cancels_and_preemptions_are_counted(autojump_clock: Clock) -> None:
    """QA-06: from the request of an executing run to its end; a queued run has no such time."""
    async with open_fake_core(SLOW, max_concurrent=1) as core:
        meter = attach_meter(core)
        await core.submitter.submit(request("slow", "low", seconds=9, priority="LOW"))
        await trio.sleep(1)
        await core.submitter.submit(request("slow", "now", seconds=9, priority=0))
        await trio.sleep(1)
        await core.submitter.submit(request("slow", "queued", seconds=9))
        await core.control.cancel("queued", "no")
        await core.control.cancel("now", "no", wait=True)
        seen = read(core, meter)
        assert seen["penstock_preemptions_total"] == 1
        assert seen["penstock_cancel_seconds_count"] == 1
        assert seen["penstock_cancel_seconds_sum"] == pytest.approx(0.2)
        assert seen["penstock_runs_ended_total{kind=slow,state=cancelled}"] == 2
        await wait_ended(core, "low")
        assert meter._cancelled_at == {}


async def test_levels_are_those_of_now(autojump_clock: Clock) -> None:
    """SC-11"""
    groups = {"gpu": Group(slots=3)}
    async with open_fake_core(groups=groups, max_concurrent=2) as core:
        meter = attach_meter(core)
        for priority in ("HIGH", "HIGH", "LOW", "LOW", "LOW"):
            await core.submitter.submit(
                request(seconds=99, priority=priority, group="gpu")
            )
        await core.queue.pause("gpu")
        seen = read(core, meter, lambda: LATE)
        assert seen["penstock_running_runs"] == seen["penstock_slots"] == 2
        assert seen["penstock_queued_runs{priority=LOW}"] == 3
        assert seen["penstock_queued_runs{priority=HIGH}"] == 0
        assert seen["penstock_queue_capacity"] == 100
        assert seen["penstock_group_slots{group=gpu}"] == 3
        assert seen["penstock_group_running{group=gpu}"] == 2
        assert seen["penstock_group_queued{group=gpu}"] == 3
        assert seen["penstock_paused{group=gpu}"] == 1
        assert seen["penstock_store_available"] == 1
        assert seen["penstock_log_head"] == core.bus.head
        assert seen["penstock_loop_lag_seconds"] == 0.25
        assert seen["penstock_loop_longest_stall_seconds"] == 7.5
        assert seen["penstock_loop_stalls_total"] == 2
        await core.queue.resume("gpu")
        assert "penstock_paused{group=gpu}" not in read(core, meter)


async def test_slow_readers_are_seen_and_their_losses_counted(
    autojump_clock: Clock,
) -> None:
    """BP-03: a loss stays counted after its reader has left."""
    async with open_fake_core(ring_events=8) as core:
        meter = attach_meter(core)
        await core.submitter.submit(request(run_id="r", seconds=999))
        policy: Any = {"overflow": "drop_oldest", "kind": "ws", "name": "slow"}
        with core.bus.subscribe("r", 0, **policy) as reader:
            while not (await anext(reader)).live:
                pass
            for number in range(50):
                fact = new_event("r", Log(text=str(number)), now=core.now())
                await core.recorder.record(Append((fact,)))
            seen = read(core, meter)
            assert seen["penstock_subscribers{kind=ws}"] == 1
            assert seen["penstock_subscriber_lag_events{kind=ws}"] == 50
            assert seen["penstock_subscriber_dropped_events_total"] == 0
            gap = (await anext(reader)).gap
            assert gap is not None
        seen = read(core, meter)
        assert seen["penstock_subscriber_dropped_events_total"] == gap.count > 0
        assert "penstock_subscribers{kind=ws}" not in seen


async def test_commits_are_measured(autojump_clock: Clock) -> None:
    """PF-03"""
    async with open_fake_core() as core:
        meter = attach_meter(core)
        async with trio.open_nursery() as nursery:
            for number in range(30):
                made = request(run_id=f"r{number}", seconds=1)
                nursery.start_soon(core.submitter.submit, made)
        seen = read(core, meter)
        assert seen["penstock_commit_decisions_sum"] >= 30
        assert (
            seen["penstock_commit_decisions_bucket{le=2.0}"]
            < (seen["penstock_commit_decisions_count"])
        )
        assert (
            seen["penstock_commit_seconds_count"]
            == (seen["penstock_commit_decisions_count"])
        )
        decided = core.recorder.statistics().writes
        assert seen["penstock_recorder_decisions_total"] == decided


async def test_two_daemons_count_apart(autojump_clock: Clock) -> None:
    """BP-03"""
    async with open_fake_core() as one, open_fake_core() as other:
        meters = [attach_meter(core) for core in (one, other)]
        await one.submitter.submit(request(run_id="r"))
        await wait_ended(one, "r")
        ended = "penstock_runs_ended_total{kind=sleep,state=completed}"
        assert read(one, meters[0])[ended] == 1
        assert ended not in read(other, meters[1])
    assert not any(m.name.startswith("penstock") for m in REGISTRY.collect())


@pytest.mark.processes
async def test_a_daemon_answers_whoever_has_the_token(tmp_path: Path) -> None:
    """API-08"""
    config = Config(port=0, state_dir=tmp_path)
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with trio.fail_after(60):
        async with open_daemon(
            config, environ, vitals=Vitals(read_loop=lambda: LATE)
        ) as daemon:
            token = read_token(daemon.paths.token)
            async with httpx.AsyncClient(
                base_url=daemon.base, trust_env=False
            ) as client:
                assert (await client.get("/metrics")).status_code == 401
                shown = {"Authorization": f"Bearer {token}"}
                made = {
                    "kind": "command",
                    "inputs": {"argv": ["true"]},
                    "run_id": "r",
                }
                await client.post("/runs", json=made, headers=shown)
                await wait_ended(daemon.core, "r")
                answer = await client.get("/metrics", headers=shown)
                wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
                opened = await client.get("/metrics", headers=shown | wanted)
                again = await client.get("/metrics", headers=shown)
    assert answer.status_code == again.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = read_open_metrics(opened.text)  # type: ignore[no-untyped-call]
    open_form = {family.name for family in families}
    assert opened.headers["Content-Type"].startswith("application/openmetrics-text;")
    assert {"penstock_runs_ended", "process_cpu_seconds"} <= open_form
    seen = numbers(answer.content)
    assert seen["penstock_runs_ended_total{kind=command,state=completed}"] == 1
    assert seen["penstock_loop_stalls_total"] == 2
    assert seen["penstock_commit_seconds_count"] >= 2
    asked = "penstock_http_requests_total"
    assert seen[f"{asked}{{method=POST,route=/runs,status=202}}"] == 1
    assert seen[f"{asked}{{method=GET,route=/metrics,status=401}}"] == 1
    assert seen["penstock_http_answer_seconds_count{route=/runs}"] == 1
    assert numbers(again.content)["process_open_fds"] > 3


async def test_models_are_counted_by_what_they_were_asked(
    autojump_clock: Clock,
) -> None:
    """QA-04: requests, tokens both ways, money and time, as recorded."""
    async with open_fake_core() as core:
        meter = attach_meter(core)
        await core.submitter.submit(request(run_id="r", seconds=9))
        await trio.sleep(1)
        used = partial(ModelUsed, model="qwen", tokens_in=100, tokens_out=20)
        for cost in (0.25, 0.5):
            fact = new_event("r", used(cost=cost, seconds=2), now=core.now())
            await core.recorder.record(Append((fact,)))
        seen = read(core, meter)
    assert seen["penstock_model_requests_total{model=qwen}"] == 2
    assert seen["penstock_model_tokens_total{direction=in,model=qwen}"] == 200
    assert seen["penstock_model_tokens_total{direction=out,model=qwen}"] == 40
    assert seen["penstock_model_cost_total{model=qwen}"] == 0.75
    assert seen["penstock_model_seconds_total{model=qwen}"] == 4


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
def test_the_judge_of_prometheus_finds_nothing_wrong() -> None:
    """HO-05: with a value in every family."""

    async def render() -> bytes:
        async with open_fake_core(groups={"gpu": Group(slots=3)}) as core:
            meter = attach_meter(core)
            meter.answered("GET", "/runs", 200, 0.1)
            meter.called("get_run", "answered")
            meter.noted(recorded(ModelUsed(model="qwen")), RunView(run_id="r"))
            made = request(run_id="r", seconds=1, group="gpu")
            await core.submitter.submit(made)
            await wait_ended(core, "r")
            text, _ = make_renderer(core, meter, lambda: LATE)("")
            return text

    judged = subprocess.run(
        ["promtool", "check", "metrics"],
        input=trio.run(render, clock=Clock(autojump_threshold=0)),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (judged.returncode, judged.stderr + judged.stdout) == (0, b"")
