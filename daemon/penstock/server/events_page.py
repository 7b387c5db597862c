"""A page of events, for every surface that gives one: REST, and MCP's tool and resource."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from penstock.log.bus import Bus, Gap
from penstock.runs.core import Core
from penstock.server.json_bodies import gap_reply
from penstock.words.events import DAEMON_STREAM
from penstock.words.recorded import Recorded


async def head_of(core: Core, stream: str) -> int:
    """Position of the newest fact of a run, or of the daemon's own stream. RunNotFound."""
    if stream == DAEMON_STREAM:
        return core.bus.head
    view = await core.reader.view(stream)
    return view.position


async def read_page(
    core: Core,
    run_id: str | None,
    after: int,
    limit: int,
    *,
    after_id: UUID | None = None,
    max_bytes: int | None = None,
) -> bytes:
    """A page of events above `after`, of one run or of all, as JSON. RunNotFound.

    At most `limit` events and, beyond the first, `max_bytes` or what is configured, whichever is
    less. `after_id`: the fact that the caller had at `after`, if it knows.
    """
    size = core.config.page_bytes
    size = size if max_bytes is None else min(size, max_bytes)
    head = core.bus.head if run_id is None else await head_of(core, run_id)
    start, gap = await _find_start(core.bus, run_id, after, after_id)
    if run_id is None:
        read = await core.store.read_all(start, limit, max_bytes=size)
        # What is committed but not yet published is not yet true for anybody else either.
        facts = [fact for fact in read if fact.position <= head]
    else:
        facts = await core.store.read(run_id, start, limit, max_bytes=size)
    return events_page(facts, start, head=head, gap=gap)


async def _find_start(
    bus: Bus, run_id: str | None, after: int, after_id: UUID | None
) -> tuple[int, Gap | None]:
    """Above which position a reader reads on, and what it misses before that."""
    start, gap = after, None
    if after and (after > bus.head or after_id):
        gap = await bus.find_put_back(after, after_id)
    if gap is not None:
        start = gap.first - 1
    # Pruned, if it is not the log that is shorter.
    if run_id is None and start < bus.floor - 1:
        gap, start = gap or Gap(start + 1, bus.floor - 1), bus.floor - 1
    return start, gap


def events_page(
    facts: Sequence[Recorded], after: int, *, head: int, gap: Gap | None = None
) -> bytes:
    """A page, put together from bytes that were encoded once; `head` is where the stream ends now."""
    following = facts[-1].position if facts else after
    more = b"true" if facts and following < head else b"false"
    missing = b"null" if gap is None else gap_reply(gap).model_dump_json().encode()
    events = b",".join(fact.wire() for fact in facts)
    told = (events, following, more, missing)
    return b'{"events":[%b],"next":%d,"more":%b,"gap":%b}' % told
