"""What a slow-client drill measures, what it tells of it, and the laws that its numbers may break."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock_drills.campaign import percentile

#: The publisher's median may grow so many times; what is beyond it is no noise of a loaded box.
MOST_RATIO = 2.0
#: So many times as long is measured while the ratio is beyond it: few pairs say little.
DOUBTFUL_PATIENCE = 1.35
#: MiB that the daemon may grow while clients stall: the kernel's buffers are not its own.
MOST_GROWTH = 64.0
#: Of the wanted rate, what must be reached for the figures to speak of it.
RATE_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Slice:
    """One stretch of publishing: latencies in ms, and the seconds until the last fact was recorded."""

    latencies: list[float]
    seconds: float
    #: MiB that the daemon grew.
    growth: float = 0.0
    #: Seconds that the daemon and the healthy clients computed, and facts that the latter were told.
    daemon_cpu: float = 0.0
    clients_cpu: float = 0.0
    delivered: int = 0
    #: Seconds from the end of the publishing until every healthy client had been told all of it.
    behind: float = 0.0

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.latencies)


@dataclass(slots=True)
class Measured:
    """Slices without and with the stalled clients in pairs, and what else came of it."""

    rate: float
    without: list[Slice] = field(default_factory=list)
    beside: list[Slice] = field(default_factory=list)
    #: MiB of the daemon before the first slice.
    before: float = 0.0
    gaps: int = 0
    dropped: int = 0
    disconnected: int = 0
    caught_up: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Of the medians of each pair, which lay side by side in time."""
        pairs = zip(self.without, self.beside, strict=True)
        return [beside.median / without.median for without, beside in pairs]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def patience(self) -> float:
        """How many times as long as usual is measured."""
        doubtful = self.beside and self.ratio > MOST_RATIO
        return DOUBTFUL_PATIENCE if doubtful else 1.0

    @property
    def growth(self) -> float:
        """MiB, of all slices with stalled clients together."""
        return sum(one.growth for one in self.beside)

    @property
    def reached(self) -> float:
        """Facts per second that were recorded beside stalled clients."""
        return sum(len(one.latencies) for one in self.beside) / sum(
            one.seconds for one in self.beside
        )

    def judge(self) -> None:
        """Note the laws that the numbers break."""
        if self.ratio > MOST_RATIO:
            self.broken.append(
                f"the publisher became {self.ratio:.1f} times as slow"
                f" (pairs from {min(self.ratios):.1f} to {max(self.ratios):.1f})"
            )
        if self.growth > MOST_GROWTH:
            self.broken.append(f"the daemon grew by {self.growth:.0f} MiB")

    @property
    def notes(self) -> Iterator[str]:
        """What qualifies the figures, in words."""
        if self.beside and self.reached < RATE_SHARE * self.rate:
            yield (
                f"the box was the limit: {self.reached:.0f} of {self.rate:.0f} events"
                " per second were recorded"
            )

    def figures(self) -> dict[str, float]:
        """What is told, by name; nothing without a pair of slices."""
        if not self.beside:
            return {}
        slices = [*self.without, *self.beside]
        seconds = sum(one.seconds for one in slices)
        delivered = sum(one.delivered for one in slices)
        daemon_cpu = sum(one.daemon_cpu for one in slices)
        return {
            **_latencies("without", self.without),
            **_latencies("with stalled", self.beside),
            "ratio of medians": round(self.ratio, 2),
            "lowest ratio": round(min(self.ratios), 2),
            "highest ratio": round(max(self.ratios), 2),
            "pairs of measurements": len(self.ratios),
            "events per second": round(self.reached, 1),
            "deliveries per second": round(delivered / seconds),
            "daemon cores": round(daemon_cpu / seconds, 2),
            "daemon us per delivery": round(1e6 * daemon_cpu / max(delivered, 1), 2),
            "healthy clients cores": round(
                sum(one.clients_cpu for one in slices) / seconds, 2
            ),
            "healthy clients behind, ms at most": round(
                1000 * max(one.behind for one in slices)
            ),
            "daemon MiB before": round(self.before, 1),
            "daemon MiB grown": round(self.growth, 1),
            "daemon MiB grown without": round(sum(s.growth for s in self.without), 1),
            "facts to healthy clients": delivered,
            "stalled that were told gaps": self.gaps,
            "facts in these gaps": self.dropped,
            "stalled that were disconnected": self.disconnected,
            "stalled that caught up": self.caught_up,
        }


def _latencies(name: str, slices: list[Slice]) -> dict[str, float]:
    every = [latency for one in slices for latency in one.latencies]
    return {
        f"{word} ms {name}": round(percentile(every, share), 2)
        for word, share in (("p50", 0.5), ("p99", 0.99))
    }
