"""The daemon's numbers for Prometheus. Imported when `/metrics` is first asked for.

The registry is this daemon's own: nothing is kept in the library's global one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from penstock.runs.core import Core
from penstock.server.meter import Distribution, Meter, ReadLoop

#: Boxes whose numbers are told one by one: who is away, and then by name. More are counted alone.
MOST_BOXES = 100


def make_renderer(
    core: Core,
    meter: Meter,
    read_loop: ReadLoop | None,
    read_lost: Callable[[], int] = lambda: 0,
) -> Callable[[str], tuple[bytes, str]]:
    """What writes all metrics in the form that an `Accept` asks for, and names that form's type.

    It reads statistics and waits for nothing.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(DaemonCollector(core, meter, read_loop, read_lost))

    def render(accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    return render


@dataclass(eq=False, slots=True)
class DaemonCollector(Collector):
    """Reads levels when asked, and what the meter counted."""

    core: Core
    meter: Meter
    read_loop: ReadLoop | None
    read_lost: Callable[[], int]

    def collect(self) -> Iterator[Metric]:
        yield from self._daemon()
        yield from self._queue()
        yield from self._groups()
        yield from self._boxes()
        yield from self._runs()
        yield from self._models()
        yield from self._requests()
        yield from self._recorder()
        yield from self._streams()
        yield from self._loop()

    def _daemon(self) -> Iterator[Metric]:
        core = self.core
        labels = {"version": core.version, "epoch": core.epoch}
        info = GaugeMetricFamily("penstock_info", "This daemon.", labels=list(labels))
        info.add_metric(list(labels.values()), 1)
        yield info
        yield gauge(
            "start_time_seconds",
            "When it started, since 1970.",
            core.started_at.timestamp(),
        )
        yield counter(
            "log_lost_lines",
            "Lines of its log that nobody took.",
            self.read_lost(),
        )

    def _queue(self) -> Iterator[Metric]:
        now = self.core.statistics()
        yield gauges(
            "queued_runs",
            "Runs in line for a slot.",
            "priority",
            now.queued_by_priority,
        )
        yield gauge("queue_capacity", "Runs that the queue takes.", now.capacity)
        yield gauge("running_runs", "Runs that have a slot.", now.running)
        yield gauge("slots", "Runs that may have one at once.", now.slots)
        yield gauge("parked_runs", "Runs that wait without a slot.", now.parked)
        yield gauge("open_runs", "Runs that have not ended.", now.open_runs)
        yield gauge(
            "waiting_submits",
            "Submits that wait for room in the queue.",
            now.waiting_submits,
        )
        yield counter(
            "late_outcomes", "Outcomes of runs that had moved on.", now.late_outcomes
        )

    def _groups(self) -> Iterator[Metric]:
        now = self.core.statistics()
        for name, about in (
            ("slots", "Slots of a group."),
            ("running", "Runs of a group that have a slot."),
            ("queued", "Runs of a group in line."),
        ):
            values = {group: counts[name] for group, counts in now.groups.items()}
            yield gauges(f"group_{name}", about, "group", values)
        paused = {str(row["group"] or ""): 1 for row in now.paused}
        yield gauges(
            "paused", 'What is paused; "" is the whole queue.', "group", paused
        )

    def _boxes(self) -> Iterator[Metric]:
        """As they were told last. Nothing where one daemon alone writes the log."""
        if (lease := self.core.environment.lease) is not None:
            yield gauge(
                "lease_left_seconds",
                "How long this box is taken to be there without a word.",
                lease.left(),
            )
        boxes = [box for box in self.core.boxes.last if box.lease_seconds is not None]
        if not boxes:
            return
        count = Counter[str](box.standing for box in boxes)
        yield gauges("boxes", "Boxes that share the log.", "standing", count)
        shown = sorted(
            (box for box in boxes if box.standing != "left"),
            key=lambda box: (box.standing == "ok", box.box),
        )[:MOST_BOXES]
        for name, about in (
            ("running", "Runs of a box that have a slot."),
            ("slots", "Slots of a box."),
            ("silent_seconds", "Since a box renewed its lease."),
        ):
            values = {box.box: getattr(box, name) for box in shown}
            yield gauges(f"box_{name}", about, "box", values)
        lost = {box.box: float(box.standing == "lost") for box in shown}
        yield gauges("box_lost", "Whether the lease of a box is over.", "box", lost)

    def _runs(self) -> Iterator[Metric]:
        meter = self.meter
        yield counters_by(
            "runs_ended", "Runs that ended.", ("kind", "state"), meter.ended.items()
        )
        yield histograms(
            "run_wait_seconds",
            "From submit to the first start.",
            "priority",
            meter.wait_seconds,
        )
        yield histograms(
            "run_seconds", "From the first start to the end.", "kind", meter.run_seconds
        )
        yield histogram(
            "cancel_seconds",
            "From a cancel of an executing run to its end.",
            meter.cancel_seconds,
        )
        yield counter(
            "preemptions",
            "Runs that gave their slot to a more important one.",
            meter.preemptions,
        )
        yield counters(
            "requeues",
            "Runs put back in line by a stop or a crash.",
            "reason",
            meter.requeues,
        )

    def _models(self) -> Iterator[Metric]:
        models = self.meter.models
        tokens = [
            *(((model, "in"), tally.tokens_in) for model, tally in models.items()),
            *(((model, "out"), tally.tokens_out) for model, tally in models.items()),
        ]
        yield counters_by(
            "model_tokens",
            "Tokens that models read and wrote.",
            ("model", "direction"),
            tokens,
        )
        for name, about in (
            ("requests", "Answers asked of models."),
            ("cost", "What they cost, in the currency of the configured prices."),
            ("seconds", "How long they took."),
        ):
            values = {model: getattr(tally, name) for model, tally in models.items()}
            yield counters(f"model_{name}", about, "model", values)

    def _requests(self) -> Iterator[Metric]:
        meter = self.meter
        yield counters_by(
            "http_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            meter.requests.items(),
        )
        yield histograms(
            "http_answer_seconds",
            "Until the answer to a request began.",
            "route",
            meter.answer_seconds,
        )
        yield counters_by(
            "mcp_calls", "Calls of tools.", ("tool", "outcome"), meter.mcp_calls.items()
        )

    def _recorder(self) -> Iterator[Metric]:
        now = self.core.recorder.statistics()
        yield histogram(
            "commit_seconds", "One commit, with its retries.", self.meter.commit_seconds
        )
        yield histogram(
            "commit_decisions", "Writes in one commit.", self.meter.commit_decisions
        )
        yield gauge(
            "recorder_pending", "Decisions that wait for their commit.", now.pending
        )
        yield gauge("recorder_capacity", "How many may.", now.capacity)
        yield gauge(
            "recorder_waiting", "Tasks that wait for room at the recorder.", now.waiting
        )
        yield counter("recorder_decisions", "Writes that were committed.", now.writes)
        yield counter(
            "recorder_dropped", "Facts given up while the store was away.", now.dropped
        )
        yield gauge(
            "store_available", "Whether the store answers.", now.unavailable is None
        )

    def _streams(self) -> Iterator[Metric]:
        bus = self.core.bus
        now, readers = bus.statistics(), bus.subscribers()
        yield gauge("log_head", "Position of the newest fact.", now.head)
        yield gauge(
            "log_floor", "Position of the oldest fact that is whole.", bus.floor
        )
        yield gauge("ring_events", "Facts in the live ring.", now.ring_events)
        yield gauge("ring_bytes", "Bytes in the live ring.", now.ring_bytes)
        count = Counter(reader.kind for reader in readers)
        yield gauges("subscribers", "Readers of streams.", "kind", count)
        # The furthest behind comes first, so the last of a kind to be set is the least.
        lag = {reader.kind: reader.lag for reader in reversed(readers)}
        yield gauges(
            "subscriber_lag_events", "Facts the slowest reader is behind.", "kind", lag
        )
        yield counter(
            "subscriber_dropped_events", "Facts that slow readers missed.", now.dropped
        )

    def _loop(self) -> Iterator[Metric]:
        if self.read_loop is None:
            return
        now = self.read_loop()
        yield gauge("loop_lag_seconds", "How late the loop's last beat was.", now.lag)
        yield gauge(
            "loop_longest_stall_seconds",
            "The longest time it stood still.",
            now.longest_stall,
        )
        yield counter(
            "loop_stalls", "How often it stood still for too long.", now.stalls
        )


def gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"penstock_{name}", about, value=float(value))


def gauges(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"penstock_{name}", about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"penstock_{name}", about, value=value)


def counters(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"penstock_{name}", about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def counters_by(
    name: str,
    about: str,
    labels: Sequence[str],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    family = CounterMetricFamily(f"penstock_{name}", about, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def histogram(name: str, about: str, tally: Distribution) -> Metric:
    return HistogramMetricFamily(
        f"penstock_{name}", about, buckets=_buckets(tally), sum_value=tally.total
    )


def histograms(
    name: str, about: str, label: str, tallies: Mapping[str, Distribution]
) -> Metric:
    family = HistogramMetricFamily(f"penstock_{name}", about, labels=[label])
    for key, tally in tallies.items():
        family.add_metric([key], buckets=_buckets(tally), sum_value=tally.total)
    return family


def _buckets(tally: Distribution) -> list[tuple[str, float]]:
    """Counts up to each bound, as the format has them."""
    bounds = [*(str(float(bound)) for bound in tally.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(tally.counts)), strict=True))
