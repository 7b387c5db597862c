"""Spans for OpenTelemetry, by its official SDK, where its usual variables ask for them.

The SDK is the extra `penstock[otel]`. It keeps what it is told in a queue that drops what is too much,
and sends from a thread of its own: no run waits for it, or fails with it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from penstock.concurrency.late import import_late
from penstock.concurrency.threads import run_in_thread
from penstock.log.spans import TraceSpan
from penstock.words.errors import StartRefused

if TYPE_CHECKING:
    from penstock.service.otel import Exporter

log = logging.getLogger("penstock.spans")

#: Any of these says where spans are to go.
_PLACES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether spans are to be sent. StartRefused for an exporter or a protocol that we do not have."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter not in {"", "otlp", "none"}:
        why = f"OTEL_TRACES_EXPORTER is {exporter!r}; spans are sent by otlp or by none"
        raise StartRefused(why)
    if exporter == "none" or not (exporter or any(map(environ.get, _PLACES))):
        return False
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environ.get(name, "").strip():
            if protocol != "http/protobuf":
                why = f"{name} is {protocol!r}; spans are sent by http/protobuf"
                raise StartRefused(why)
            break
    return True


@asynccontextmanager
async def open_tracing(
    environ: Mapping[str, str], *, close_seconds: float
) -> AsyncIterator[Callable[[TraceSpan], None] | None]:
    """What takes spans; None where nobody wants them.

    Leaving the block sends what is left, within `close_seconds`. StartRefused without the SDK.
    """
    if not is_wanted(environ):
        yield None
        return
    exporter = await _load()
    try:
        yield exporter.tell
    finally:
        with trio.move_on_after(close_seconds, shield=True) as patience:
            await run_in_thread(exporter.close, abandon_on_cancel=True)
        if patience.cancelled_caught:
            log.warning("the last spans were not taken within %g s", close_seconds)


async def _load() -> Exporter:
    try:
        module = await import_late("penstock.service.otel")
    except ImportError as error:
        why = f"OTEL_* asks for spans, but their SDK is not there: pip install 'penstock[otel]' ({error})"
        raise StartRefused(why) from None
    try:
        exporter: Exporter = await run_in_thread(module.Exporter)
    except ValueError as error:
        why = f"the SDK of OTEL_* cannot take one of its variables: {error}"
        raise StartRefused(why) from None
    return exporter
