"""Our spans as those of OpenTelemetry's SDK. Importing this needs the extra `penstock[otel]`."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

import penstock
from penstock.log.spans import TraceSpan
from penstock.words.trace_context import TraceContext

_KINDS = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Exporter:
    """Sends spans as the usual variables say: where to, how many at once, and which are kept."""

    def __init__(self) -> None:
        self._ids = _GivenIds()
        # What is left is sent by `close`, which is bounded; the library's own way at exit is not.
        self._provider = TracerProvider(
            resource=_resource(), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("penstock", penstock.__version__)

    def tell(self, span: TraceSpan) -> None:
        """Put a span that has ended in line to be sent. It waits for nothing."""
        self._ids.given = span.context
        parent = Context()
        if span.parent is not None:
            parent = set_span_in_context(self._parent(span.parent, span), parent)
        sent = self._tracer.start_span(
            span.name,
            context=parent,
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            start_time=_nanoseconds(span.began),
        )
        if span.error is not None:
            sent.set_status(Status(StatusCode.ERROR, span.error))
        sent.end(_nanoseconds(span.ended))

    def close(self) -> None:
        """Send what is left; it may take as long as the SDK tries again."""
        self._provider.shutdown()

    def _parent(self, parent: TraceContext, span: TraceSpan) -> NonRecordingSpan:
        kept = parent.sampled
        if kept is None:
            # A trace of our own: the sampler says of its id what it said of its first span.
            sampler = self._provider.sampler
            decided = sampler.should_sample(None, parent.trace_id, span.name)
            kept = decided.decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if kept else TraceFlags.DEFAULT)
        context = SpanContext(
            parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags
        )
        return NonRecordingSpan(context)


class _GivenIds(IdGenerator):
    """Ids are derived from the run, so that programs can be told them before a span has ended."""

    def __init__(self) -> None:
        self.given = TraceContext(1, 1)

    def generate_span_id(self) -> int:
        return self.given.span_id

    def generate_trace_id(self) -> int:
        return self.given.trace_id


def _resource() -> Resource:
    """This service, unless the variables name it otherwise."""
    named = "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    attributes = {SERVICE_VERSION: penstock.__version__}
    if not named and "OTEL_SERVICE_NAME" not in os.environ:
        attributes[SERVICE_NAME] = "penstock"
    return Resource.create(attributes)


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
