"""The forms of a stream of events: WebSocket, server-sent events, NDJSON, and bytes of output.

A form is made of functions of this module, since a batch remembers what was made of it by the
function that made it: the bytes are the same for every client of a form, so they are made once,
however many clients get them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from penstock.server.http_answer import Unfinished
from penstock.words.api import ByeFrame, GapFrame, HelloFrame, ReadyFrame
from penstock.words.events import Log
from penstock.words.live_frames import MESSAGE, frame_head
from penstock.words.printed import STREAMS, Stream, bytes_of, size_of
from penstock.words.recorded import Recorded

#: How a piece of a run's log ends that no program printed.
_OWN_WORDS = b'"stream":"pipeline"}'


@dataclass(frozen=True, slots=True)
class Encoder:
    """How a form writes what a stream says, each time as bytes that are whole by themselves."""

    name: str
    #: As which `GET /clients` shows its readers.
    kind: Literal["ws", "http"]
    write_facts: Callable[[tuple[Recorded, ...]], bytes]
    #: What is not a fact.
    write_frame: Callable[[HelloFrame | GapFrame | ReadyFrame | ByeFrame], bytes]
    #: Whether it says `hello`, `ready`, and `bye` when the run has ended. A stream over HTTP has its
    #: head before it, and the end of a run is the end of its body.
    says_all: bool = False
    #: What shows on a quiet stream that it lives; b"" where something else does, or nothing can.
    heartbeat: bytes = b""


def text_frame(text: str) -> bytes:
    """A text message in one WebSocket frame. A server's frames are not masked, ours not compressed."""
    # Not before there is a WebSocket: an embedded run has none.
    from wsproto.frame_protocol import FrameProtocol

    return bytes(FrameProtocol(client=False, extensions=[]).send_data(text, fin=True))


def websocket_frame(frame: HelloFrame | GapFrame | ReadyFrame | ByeFrame) -> bytes:
    return text_frame(frame.model_dump_json())


def websocket_facts(facts: tuple[Recorded, ...]) -> bytes:
    """Facts in one frame, put together from bytes that were encoded when the first reader asked."""
    events = b",".join([fact.wire() for fact in facts])
    return text_frame((b'{"type":"events","events":[%b]}' % events).decode())


def ndjson_frame(frame: HelloFrame | GapFrame | ReadyFrame | ByeFrame) -> bytes:
    return frame.model_dump_json().encode() + b"\n"


def ndjson_facts(facts: tuple[Recorded, ...]) -> bytes:
    """A line per fact."""
    return b"".join([fact.wire() + b"\n" for fact in facts])


def sse_frame(frame: HelloFrame | GapFrame | ReadyFrame | ByeFrame) -> bytes:
    data = frame.model_dump_json().encode()
    return b"event: %b\ndata: %b\n\n" % (frame.type.encode(), data)


def sse_facts(facts: tuple[Recorded, ...]) -> bytes:
    """An event per fact; `id` is its position, so that a browser resumes by itself."""
    return b"".join(
        [b"id: %d\ndata: %b\n\n" % (fact.position, fact.wire()) for fact in facts]
    )


def pieces_among(facts: Iterable[Recorded], streams: frozenset[Stream]) -> list[Log]:
    """What the streams of a run printed, of its facts."""
    events = (fact.event for fact in facts)
    return [
        event for event in events if isinstance(event, Log) and event.stream in streams
    ]


def _printed(facts: tuple[Recorded, ...], name: str) -> bytes:
    pieces = pieces_among(facts, OUTPUT_STREAMS[name])
    return b"".join([_kept_bytes(piece) for piece in pieces])


def _kept_bytes(piece: Log) -> bytes:
    data = bytes_of(piece)
    if data is None:
        raise Unfinished(f"{size_of(piece)} bytes of the output are no longer kept")
    return data


def all_bytes(facts: tuple[Recorded, ...]) -> bytes:
    """What was printed, to the byte. Unfinished where some of it is no longer kept."""
    return _printed(facts, "all")


def stdout_bytes(facts: tuple[Recorded, ...]) -> bytes:
    return _printed(facts, "stdout")


def stderr_bytes(facts: tuple[Recorded, ...]) -> bytes:
    return _printed(facts, "stderr")


def no_frame(_frame: HelloFrame | GapFrame | ReadyFrame | ByeFrame) -> bytes:
    """Nothing: among a program's bytes there is no word of ours."""
    return b""


def live_frame(frame: HelloFrame | GapFrame | ReadyFrame | ByeFrame) -> bytes:
    return _message(frame.model_dump_json().encode())


def live_facts(facts: tuple[Recorded, ...]) -> bytes:
    """Facts as on a WebSocket, but for what was printed, which has frames of its own."""
    told = [fact.wire() for fact in facts if not _is_printed(fact)]
    events = b",".join(told)
    return _message(b'{"type":"events","events":[%b]}' % events) if told else b""


def _is_printed(fact: Recorded) -> bool:
    """Whether a program printed it. As every daemon of ours encodes a piece, its stream stands last."""
    return fact.type == "log" and not fact.body.endswith(_OWN_WORDS)


def _message(text: bytes) -> bytes:
    return frame_head(MESSAGE, len(text)) + text


WEBSOCKET = Encoder("ws", "ws", websocket_facts, websocket_frame, says_all=True)
NDJSON = Encoder("ndjson", "http", ndjson_facts, ndjson_frame)
LIVE = Encoder("live", "http", live_facts, live_frame, says_all=True)
SSE = Encoder("sse", "http", sse_facts, sse_frame, heartbeat=b": still here\n\n")
#: A run's output as such, by the name that a client asks for it.
OUTPUTS: Mapping[str, Encoder] = {
    "all": Encoder("output", "http", all_bytes, no_frame),
    "stdout": Encoder("stdout", "http", stdout_bytes, no_frame),
    "stderr": Encoder("stderr", "http", stderr_bytes, no_frame),
}
OUTPUT_STREAMS: Mapping[str, frozenset[Stream]] = {
    "all": STREAMS,
    "stdout": frozenset({"stdout"}),
    "stderr": frozenset({"stderr"}),
}
