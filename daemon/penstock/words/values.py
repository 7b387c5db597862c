"""Values that facts are made of: ids, times, versions, clocks and JSON, each with its one form."""

from __future__ import annotations

import math
import os
import random
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
)

from penstock.words.clocks import check_clock
from penstock.words.run_id import check_run_id

# Deeper payloads are refused; a cycle has no depth, so this finds cycles too.
_DEEPEST_PAYLOAD = 100

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def check_json(value: Any, depth: int = 0) -> Any:
    """A deep copy of `value` if it is JSON; ValueError says what is not."""
    if depth > _DEEPEST_PAYLOAD:
        raise ValueError(f"nested deeper than {_DEEPEST_PAYLOAD} levels, or a cycle")
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("NaN and infinity are not JSON")
        return value
    # An abstract class is slow to ask, and nearly all mappings are plain ones.
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101
        if not all(isinstance(key, str) for key in value):
            raise ValueError("the keys of a JSON object are strings")
        return {key: check_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [check_json(item, depth + 1) for item in value]
    raise ValueError(f"{type(value).__name__} is not JSON")


# Ids must differ and need not be hard to guess, so the kernel is asked for a seed and not for
# every one of them.
_noise = random.Random(os.urandom(32))


def new_event_id() -> UUID:
    """A UUIDv7 (RFC 9562): time-ordered, so the unique index grows at one end."""
    stamp = time.time_ns() // 1_000_000
    noise = _noise.getrandbits(74)
    return UUID(
        int=stamp << 80
        | 0x7000 << 64
        | (noise >> 62) << 64
        | 0x2 << 62
        | noise & (1 << 62) - 1
    )


def new_run_id() -> str:
    """A short id that is easy to type and hard to guess: `r-` and 48 random bits."""
    return f"r-{secrets.token_hex(6)}"


def utc_now() -> datetime:
    """The time of day; injected wherever time is recorded."""
    return datetime.now(UTC)


def to_moment(micros: int) -> datetime:
    """The aware time in UTC of so many microseconds since 1970."""
    return _UNIX + timedelta(microseconds=micros)


def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`: the one form on every surface."""
    return (
        moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )


JsonValue = Annotated[Any, AfterValidator(check_json)]
JsonObject = Annotated[dict[str, Any], AfterValidator(check_json)]
RunId = Annotated[str, BeforeValidator(check_run_id)]
Moment = Annotated[
    AwareDatetime,
    AfterValidator(lambda moment: moment.astimezone(UTC)),
    PlainSerializer(format_time, return_type=str, when_used="json"),
]
Version = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
VectorClock = Annotated[dict[str, int], BeforeValidator(check_clock)]
