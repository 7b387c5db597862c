"""Spans reach a collector by the official SDK; where nobody wants them nothing of it is imported."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fakes.cores import wait_ended
from penstock.service.daemon import open_daemon
from penstock.service.tracing import is_wanted, open_tracing
from penstock.words.address import read_token
from penstock.words.config import Config
from penstock.words.errors import StartRefused

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#: Seconds for a daemon with real programs; a loaded box may take its time.
PATIENCE = 60


class Collector(http.server.ThreadingHTTPServer):
    """Keeps the spans that it is sent; with `silent` it takes what comes and never answers."""

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[ExportTraceServiceRequest] = []
        self.released = threading.Event()
        if not silent:
            self.released.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self) -> dict[str, Span]:
        return {
            span.name: span
            for sent in self.requests
            for of_resource in sent.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.released.wait(PATIENCE)
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(params=[False], ids=["answering"])
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    with Collector(silent=request.param) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join(PATIENCE)


async def run_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: str
) -> str:
    """Run `env` in a daemon that sends spans there; what the program printed."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    environ = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
    }
    config = Config(port=0, state_dir=tmp_path)
    with trio.fail_after(PATIENCE):
        async with open_daemon(config, environ) as daemon:
            token = read_token(daemon.paths.token)
            shown = {"Authorization": f"Bearer {token}", "traceparent": GIVEN}
            async with httpx.AsyncClient(
                base_url=daemon.base, trust_env=False, headers=shown
            ) as client:
                made = {"kind": "command", "inputs": {"argv": ["env"]}, "run_id": "r"}
                assert (await client.post("/runs", json=made)).status_code == 202
                await wait_ended(daemon.core, "r")
                assert (await daemon.core.reader.view("r")).state == "completed"
                return (await client.get("/runs/r/output")).text


@pytest.mark.processes
async def test_a_run_is_seen_by_a_collector_below_who_asked_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, collector: Collector
) -> None:
    """HO-05: the run, its execution and its program, in the trace of the request; the rest at the stop."""
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    printed = await run_once(monkeypatch, tmp_path, collector.url)
    spans = collector.spans
    run, execution, program = (
        spans[name] for name in ("run command", "execute command", "env")
    )
    assert run.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert run.parent_span_id.hex() == "b7ad6b7169203331"
    assert execution.parent_span_id == run.span_id
    assert program.parent_span_id == execution.span_id
    assert {s.trace_id for s in spans.values()} == {run.trace_id}
    assert run.start_time_unix_nano <= execution.start_time_unix_nano
    assert execution.end_time_unix_nano <= run.end_time_unix_nano
    told = f"TRACEPARENT=00-{run.trace_id.hex()}-{execution.span_id.hex()}-01"
    assert told in printed
    attributes = {
        a.key: a.value
        for a in collector.requests[0].resource_spans[0].resource.attributes
    }
    assert attributes["service.name"].string_value == "penstock"


@pytest.mark.processes
@pytest.mark.parametrize("collector", [True], ids=["silent"], indirect=True)
async def test_a_collector_that_never_answers_holds_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, collector: Collector
) -> None:
    """HO-05: the run ends as it would, and the stop is over within its time."""
    assert "TRACEPARENT=" in await run_once(monkeypatch, tmp_path, collector.url)
    assert collector.spans == {}


@pytest.mark.processes
async def test_a_collector_that_is_not_there_holds_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """HO-05"""
    assert "TRACEPARENT=" in await run_once(monkeypatch, tmp_path, "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "OTEL_TRACES_EXPORTER": "none",
            },
            False,
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
    ],
)
def test_the_usual_variables_say_whether(environ: dict[str, str], wanted: bool) -> None:
    """HO-05"""
    assert is_wanted(environ) is wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "jaeger"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ],
)
def test_what_we_do_not_speak_is_refused_in_a_sentence(name: str, value: str) -> None:
    """HO-05"""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", name: value}
    with pytest.raises(StartRefused, match=f"{name} is '{value}'"):
        is_wanted(environ)


async def test_what_the_sdk_cannot_take_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HO-05: its own variables are many, and it ends of some values."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    with pytest.raises(StartRefused, match=r"OTEL_.*max_queue_size must be"):
        async with open_tracing(environ, close_seconds=1):
            raise AssertionError


@pytest.mark.processes
def test_who_does_not_trace_imports_nothing_of_it() -> None:
    """HO-05"""
    code = "import sys, penstock.service.daemon; print([n for n in sys.modules if 'opentelemetry' in n])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout == "[]\n"
