"""What a WebSocket client of the event stream is sent, as whole frames, ready for its socket.

A server's frames are not masked and ours are not compressed, so a frame is the same bytes for every
client: a batch's is made once, however many clients get it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel
from wsproto.frame_protocol import FrameProtocol

from penstock.log.bus import Batch, Gap, Overflow
from penstock.server.replies import gap_reply
from penstock.words.api import HelloFrame
from penstock.words.recorded import Recorded

if TYPE_CHECKING:
    from penstock.runs.core import Core


def text_frame(text: str) -> bytes:
    """A text message in one frame."""
    return bytes(FrameProtocol(client=False, extensions=[]).send_data(text, fin=True))


def model_frame(model: BaseModel) -> bytes:
    """A model as JSON in one frame."""
    return text_frame(model.model_dump_json())


def batch_frames(batch: Batch, overflow: Overflow) -> bytes:
    """The frames that tell a batch; none if there is nothing to tell."""
    facts = batch.written(events_frame) if batch.facts else b""
    return facts if batch.gap is None else gap_frame(batch.gap, overflow) + facts


def events_frame(facts: tuple[Recorded, ...]) -> bytes:
    """Facts in one frame, put together from bytes that were encoded when the first reader asked."""
    events = b",".join([fact.wire() for fact in facts])
    return text_frame((b'{"type":"events","events":[%b]}' % events).decode())


def gap_frame(gap: Gap, overflow: Overflow) -> bytes:
    """What is missing, and how many of it this client's own policy dropped."""
    return model_frame(gap_reply(gap, overflow))


def hello(core: Core) -> HelloFrame:
    """Which daemon this is, and how far its log reaches."""
    return HelloFrame(
        daemon=f"penstock {core.version}",
        epoch=core.epoch,
        life=core.life,
        head=core.bus.head,
        floor=core.bus.floor,
    )
