"""Peers: the same job through other queues, alternated, as durable as ours: `python -m bench peers`.

Two jobs: nothing, and the program `true`. One submitter, five workers, each job durable when it is taken
and when it has ended. Each peer is measured in a process of its own by the Python that PENSTOCK_PEERS
names (one with the peers installed; without it, the one that runs this), and is left out, with the
reason, where it is not installed. PostgreSQL is asked of by PENSTOCK_PEERS_PG, a libpq address of a server
whose databases `dbos` and `procrastinate` may be emptied.

A row says ours over the peer's jobs a second; CPU of all processes of either but a database's server is
in the table that is printed beside it. tsp runs commands and keeps no record: it is shown only.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from bench._shared import OpenStore, Row

# A peer's process imports nothing of ours.
ROOT = Path(__file__).parent.parent
SLOTS = 5
JOBS = {"noop": 100, "true": 40}
#: Seconds that a round of one peer may take.
ROUND_SECONDS = 120.0


def cpu() -> float:
    """Seconds of this process and of its children that have ended."""
    own, below = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    return own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime


class Meter:
    """Jobs a second and CPU a job, from here to `done`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._began, self._cpu = time.perf_counter(), cpu()

    def done(self) -> dict[str, float]:
        """What was measured."""
        return {
            "rate": self._count / (time.perf_counter() - self._began),
            "cpu_ms": self.cpu_ms(),
        }

    def cpu_ms(self) -> float:
        """Milliseconds of CPU a job, from the begin to now."""
        return (cpu() - self._cpu) / self._count * 1000


def job_of(what: str) -> Callable[[], bool]:
    """What a worker of a peer does."""

    def nothing() -> bool:
        return True

    def program() -> bool:
        return subprocess.run(["true"]).returncode == 0

    return nothing if what == "noop" else program


def penstock(folder: Path, what: str, count: int) -> dict[str, float]:
    """Ours, in process as they are, on SQLite."""
    from bench._shared import open_file

    return _penstock(folder, what, count, open_file)


def penstock_postgresql(folder: Path, what: str, count: int) -> dict[str, float]:
    """Ours with its log on PostgreSQL, in a schema of its own."""
    from bench._postgres import Box, store_of

    box = Box(database("penstock"), f"peers_{time.monotonic_ns()}")
    return _penstock(folder, what, count, store_of(box))


def _penstock(
    folder: Path, what: str, count: int, open_store: OpenStore
) -> dict[str, float]:
    import trio
    from bench._shared import open_bench_core, wait_idle
    from bench.jobs import NOOP

    from penstock.kinds.command import KIND
    from penstock.words.api import SubmitRequest

    inputs: Mapping[str, Any] = {} if what == "noop" else {"argv": ["true"], "cwd": "/"}
    kind = "noop" if what == "noop" else "command"

    async def run() -> dict[str, float]:
        async with open_bench_core(
            folder, NOOP, KIND, max_concurrent=SLOTS, open_store=open_store
        ) as core:
            meter = Meter(count)
            for _ in range(count):
                request = SubmitRequest(kind=kind, inputs=dict(inputs))
                await core.submitter.submit(request, wait=True)
            await wait_idle(core, count)
            found = meter.done()
        # What was forked from a template counts as ours once that has ended.
        return {**found, "cpu_ms": meter.cpu_ms()}

    return trio.run(run)


def huey(folder: Path, what: str, count: int) -> dict[str, float]:
    """SQLite with `fsync=True`; it looks for work every millisecond."""
    from huey import SqliteHuey  # type: ignore[import-untyped]

    queue = SqliteHuey(filename=str(folder / "huey.db"), fsync=True)
    task = queue.task()(job_of(what))
    consumer = queue.create_consumer(
        workers=SLOTS, initial_delay=0.001, max_delay=0.001, periodic=False
    )
    consumer.start()
    meter = Meter(count)
    for result in [task() for _ in range(count)]:
        result.get(blocking=True, backoff=1, max_delay=0.001)
    found = meter.done()
    consumer.stop(graceful=True)
    return found


def celery(folder: Path, what: str, count: int) -> dict[str, float]:
    """Its broker in a folder, results in SQLite, threads as workers."""
    from celery import Celery  # type: ignore[import-not-found]
    from celery.contrib.testing.worker import (  # type: ignore[import-not-found]
        start_worker,
    )

    (folder / "in").mkdir()
    app = Celery("peers", broker="filesystem://", backend=f"db+sqlite:///{folder}/r.db")
    app.conf.update(
        broker_transport_options={
            "data_folder_in": str(folder / "in"),
            "data_folder_out": str(folder / "in"),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.005,
        },
        worker_prefetch_multiplier=1,
    )
    app.task(name="job")(job_of(what))
    options = {"pool": "threads", "concurrency": SLOTS, "perform_ping_check": False}
    with start_worker(app, loglevel="ERROR", **options):
        meter = Meter(count)
        for result in [app.tasks["job"].delay() for _ in range(count)]:
            result.get(interval=0.005)
        return meter.done()


def dbos(folder: Path, what: str, count: int) -> dict[str, float]:
    """On SQLite."""
    return _dbos(f"sqlite:///{folder}/dbos.sqlite", what, count)


def dbos_postgresql(_folder: Path, what: str, count: int) -> dict[str, float]:
    """On PostgreSQL."""
    return _dbos(database("dbos"), what, count)


def database(name: str) -> str:
    """The address of a database of the server that may be used."""
    server = urlsplit(os.environ["PENSTOCK_PEERS_PG"])
    return server._replace(path=f"/{name}").geturl()


def _dbos(url: str, what: str, count: int) -> dict[str, float]:
    from dbos import DBOS  # type: ignore[import-not-found]

    job = job_of(what)
    DBOS(config={"name": "peers", "system_database_url": url, "log_level": "ERROR"})
    workflow = DBOS.workflow()(job)
    DBOS.launch()
    DBOS.register_queue(
        "q", worker_concurrency=SLOTS, concurrency=SLOTS, polling_interval_sec=0.01
    )
    queue = DBOS.retrieve_queue("q")
    meter = Meter(count)
    for handle in [queue.enqueue(workflow) for _ in range(count)]:
        handle.get_result(polling_interval_sec=0.005)
    return meter.done()


def procrastinate(_folder: Path, what: str, count: int) -> dict[str, float]:
    """On PostgreSQL, which is all it has."""
    import asyncio

    import procrastinate as peer  # type: ignore[import-not-found]

    connector = peer.PsycopgConnector(conninfo=database("procrastinate"))
    app = peer.App(connector=connector)
    ended: list[None] = []
    all_ended = asyncio.Event()

    @app.task
    async def job() -> None:
        if what == "true":
            process = await asyncio.create_subprocess_exec("true")
            await process.wait()
        ended.append(None)
        if len(ended) == count:
            all_ended.set()

    async def run() -> dict[str, float]:
        async with app.open_async():
            if not await app.check_connection_async():
                await app.schema_manager.apply_schema_async()
            worker = asyncio.create_task(
                app.run_worker_async(concurrency=SLOTS, install_signal_handlers=False)
            )
            await asyncio.sleep(0.5)
            meter = Meter(count)
            for _ in range(count):
                await job.defer_async()
            await all_ended.wait()
            found = meter.done()
            worker.cancel()
            return found

    return asyncio.run(run())


def tsp(folder: Path, what: str, count: int) -> dict[str, float]:
    """task-spooler: commands alone, and nothing of them is kept."""
    if what == "noop":
        raise ModuleNotFoundError("it runs commands alone")
    if shutil.which("tsp") is None:
        raise ModuleNotFoundError("no tsp on the PATH")
    environ = {**os.environ, "TS_SOCKET": str(folder / "tsp"), "TMPDIR": str(folder)}
    subprocess.run(["tsp", "-S", str(SLOTS)], env=environ, check=True)
    meter = Meter(count)
    for _ in range(count):
        subprocess.run(["tsp", "-n", "true"], env=environ, capture_output=True)
    while (
        b"running"
        in subprocess.run(["tsp"], env=environ, capture_output=True, check=True).stdout
    ):
        time.sleep(0.01)
    found = meter.done()
    subprocess.run(["tsp", "-K"], env=environ, check=True)
    return found


#: Each with the package whose version is told.
PEERS: Mapping[str, tuple[Callable[[Path, str, int], dict[str, float]], str]] = {
    "penstock": (penstock, "penstock"),
    "penstock-postgresql": (penstock_postgresql, "penstock"),
    "huey": (huey, "huey"),
    "procrastinate": (procrastinate, "procrastinate"),
    "dbos": (dbos, "dbos"),
    "dbos-postgresql": (dbos_postgresql, "dbos"),
    "celery": (celery, "celery"),
    "tsp": (tsp, ""),
}


def measure(name: str, what: str, count: int) -> dict[str, Any]:
    """One round of one peer, in this process; `skipped` says why there is none."""
    act, package = PEERS[name]
    with tempfile.TemporaryDirectory(prefix="penstock-peers-") as folder:
        try:
            found: dict[str, Any] = act(Path(folder), what, count)
        except (ImportError, KeyError) as error:
            return {"skipped": str(error)}
        return {**found, "version": version(package) if package else _tsp_version()}


def _tsp_version() -> str:
    told = subprocess.run(["tsp", "-V"], capture_output=True, text=True).stdout
    return next((word for word in told.split() if word.startswith("v")), "")


def round_of(name: str, what: str) -> dict[str, Any]:
    """The same in a process of its own."""
    python = sys.executable
    if not name.startswith("penstock"):
        python = os.environ.get("PENSTOCK_PEERS", python)
    command = [python, "-m", "bench.peers", name, what, str(JOBS[what])]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'daemon'}"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, timeout=ROUND_SECONDS
        )
    except subprocess.TimeoutExpired:
        return {"skipped": f"no end within {ROUND_SECONDS:.0f} s"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        return {"skipped": why[-1] if why else f"exit status {done.returncode}"}
    told: dict[str, Any] = json.loads(lines[-1])
    return told


def rows(long: bool) -> Iterator[Row]:
    """A row a peer and job, and a line for each with what else was measured."""
    from bench._shared import Row

    rounds = 9 if long else 5
    for what in JOBS:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in PEERS}
        for _ in range(rounds):
            for name, results in found.items():
                if not (results and "skipped" in results[-1]):
                    results.append(round_of(name, what))
        ours = [one["rate"] for one in found["penstock"]]
        for name, results in found.items():
            if why := [one["skipped"] for one in results if "skipped" in one]:
                print(f"{what} by {name}: skipped, {why[0]}")
                continue
            rates = [one["rate"] for one in results]
            spent = median(one["cpu_ms"] for one in results)
            label = f"{name} {results[0]['version']}".strip()
            print(
                f"{what} by {label}: {median(rates):,.0f}/s, {spent:.2f} ms CPU a job"
            )
            if not name.startswith("penstock"):
                target = "" if name == "tsp" else "ratio >= 1"
                yield Row(f"{what} / {label}", "jobs/s", target, ours, rates)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))), flush=True)
    # Some peers keep threads that end with nothing.
    os._exit(0)
