"""Other queues on the same server, as durable as ours there: no-op jobs a second, and CPU of a job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from statistics import median
from urllib.parse import urlsplit

from bench._postgres import PostgresServer
from bench._shared import Row
from bench.peers import round_of

PEERS = ("procrastinate", "dbos-postgresql")


def peer_rows(rounds: int, server: PostgresServer) -> Iterator[Row]:
    """Ours beside each, both with their log on this server; left out, with the reason, where not installed."""
    for name in ("procrastinate", "dbos"):
        server.ask(f"CREATE DATABASE {name}")
    parts = urlsplit(server.url)
    os.environ["PENSTOCK_PEERS_PG"] = parts._replace(path="/").geturl()
    try:
        found = {name: [] for name in ("penstock-postgresql", *PEERS)}
        for _ in range(rounds):
            for name, results in found.items():
                if not (results and "skipped" in results[-1]):
                    results.append(round_of(name, "noop"))
    finally:
        del os.environ["PENSTOCK_PEERS_PG"]
    ours = found.pop("penstock-postgresql")
    for name, results in found.items():
        if why := [one["skipped"] for one in (*ours, *results) if "skipped" in one]:
            print(f"no-op jobs by {name} on PostgreSQL: skipped, {why[0]}")
            continue
        label = f"on PostgreSQL / {name} {results[0]['version']}"
        ours_rates, rates = ([one["rate"] for one in side] for side in (ours, results))
        yield Row(f"no-op jobs {label}", "jobs/s", "", ours_rates, rates)
        ours_cpu, cpu = ([one["cpu_ms"] for one in side] for side in (ours, results))
        yield Row(f"CPU of a no-op job {label}", "ms", "", ours_cpu, cpu)
        print(f"{name}: {median(rates):,.0f}/s, {median(cpu):.2f} ms CPU a job")
