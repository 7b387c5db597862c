"""Where a run stands in a trace, as W3C Trace Context writes it: https://www.w3.org/TR/trace-context/.

Ids are derived and not drawn: whoever knows the run knows its spans, before and after a restart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

#: The variable in which programs find it, and with small letters the header and the field of a request.
TRACEPARENT = "TRACEPARENT"

#: Characters of what a later version may add: it is recorded with each run, and goes into the
#: environment of programs, which takes no NUL and not everything in any length.
MOST_ADDED = 456
_FORM = re.compile(
    r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})"
    rf"(-[!-~]{{0,{MOST_ADDED}}})?"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span by its ids. `sampled` is None where nobody has decided whether it is kept."""

    trace_id: int
    span_id: int
    sampled: bool | None = None

    def __str__(self) -> str:
        flags = "00" if self.sampled is False else "01"
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{flags}"

    def below(self, name: str) -> TraceContext:
        """The span of this name below this one."""
        return replace(self, span_id=_derive(f"{self.span_id:016x} {name}")[0])


def read_traceparent(text: str) -> TraceContext | None:
    """The span that it names; None for what is no traceparent, which is as good as none."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    # Later versions may say more than this one; ff is no version.
    known = version != "ff" and not (version == "00" and more)
    if not known or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1))


def context_of_run(
    run_id: str, created_at: datetime, given: str | None
) -> TraceContext:
    """The run's own span: in the trace of its traceparent, or in one of its own."""
    span_id, trace_id = _derive(f"{run_id} {created_at.isoformat()}")
    parent = read_traceparent(given or "")
    if parent is None:
        return TraceContext(trace_id, span_id)
    return TraceContext(parent.trace_id, span_id, parent.sampled)


def execution_context(run: TraceContext, attempt: int) -> TraceContext:
    """The span of a run's `attempt`th execution: its programs and children stand below it."""
    return run.below(f"execution {attempt}")


def _derive(text: str) -> tuple[int, int]:
    """A span's id and a trace's from what names them; neither is ever zero."""
    # Imported here: the command line only looks at the form of what it passes on.
    from hashlib import sha256

    digest = sha256(text.encode()).digest()
    span, trace = digest[:8], digest[8:24]
    return int.from_bytes(span) or 1, int.from_bytes(trace) or 1
