"""The lines of an agent, read leniently: what cannot be understood is noise, and never a crash.

Adapters change every week, so a message is plain JSON of which only what is needed is looked at. What
would cost too much to read is not read at all: it is found while it still arrives.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from penstock.pipeline import JsonMeter, Refused

#: Bytes of a line, which may hold a file twice, as it was and as it is to be.
LONGEST_LINE = 32 * 1024 * 1024
#: Values of one message: more of them than of bytes hold the loop.
MOST_VALUES = 200_000
#: Levels of one message; what readers of facts take is less than what a parser would.
DEEPEST = 100
#: Bytes of a line that are taken before they are counted, since all lines but a few are shorter.
_SHORT_LINE = 64 * 1024
#: Characters of noise that are told.
_NOISE_TOLD = 500

_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """Something the agent wants an answer to."""

    id: int | str
    method: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AgentNotice:
    """Something the agent tells."""

    method: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """An error, as JSON-RPC tells it."""

    code: int
    message: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """What the agent answers to the client's request of this number."""

    number: int
    result: Any = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Noise:
    """What is no message; `text` is its beginning, `size` its bytes."""

    text: str
    size: int


Message = AgentRequest | AgentNotice | AgentAnswer | Noise


class AgentLines:
    """Takes what comes in pieces of any size, and gives whole lines."""

    def __init__(self) -> None:
        self._line = bytearray()
        #: Bytes of the line that were counted by the meter.
        self._counted = 0
        self._meter = _new_meter()
        self._skipping = False
        #: A line has become longer than any may be; nothing more is given.
        self.overlong = False

    def feed(self, data: bytes) -> Iterator[bytes | Noise]:
        """The lines that end in these bytes; noise for one that is too much, as soon as it is."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            yield from self._add(end, ends=True)
            if self.overlong:
                return
            if not self._skipping and self._line.strip():
                yield bytes(self._line)
            self._begin_line()
        yield from self._add(rest, ends=False)

    def _add(self, piece: bytes, *, ends: bool) -> Iterator[Noise]:
        if self._skipping:
            return
        self._line += piece
        if len(self._line) > LONGEST_LINE:
            self.overlong = True
        elif why := self._too_much(ends=ends):
            self._skipping = True
            yield Noise(why, len(self._line))
            self._line.clear()

    def _too_much(self, *, ends: bool) -> str:
        """What there is too much of in the line so far; "" if it can be read."""
        if not (len(self._line) > _SHORT_LINE or (ends and _may_be_deep(self._line))):
            return ""
        try:
            self._meter.feed(bytes(self._line[self._counted :]))
        except Refused as refusal:
            return str(refusal)
        self._counted = len(self._line)
        return ""

    def _begin_line(self) -> None:
        if self._counted or self._skipping:
            self._meter, self._counted = _new_meter(), 0
        self._line.clear()
        self._skipping = False


def _may_be_deep(line: bytearray) -> bool:
    return line.count(b"[") + line.count(b"{") > DEEPEST


def _new_meter() -> JsonMeter:
    return JsonMeter("message", most_values=MOST_VALUES, deepest=DEEPEST)


def read_message(line: bytes) -> Message:
    """What a line says."""
    text = line.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        message = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        message = None
    if isinstance(message, dict):
        if _HALF_PAIR.search(text):
            message = _whole(message)
        if (read := _read(message)) is not None:
            return read
    return Noise(text[:_NOISE_TOLD], len(line))


def _read(message: dict[str, Any]) -> Message | None:
    method, number = message.get("method"), message.get("id")
    params = message.get("params")
    if isinstance(method, str):
        params = params if isinstance(params, dict) else {}
        if "id" not in message:
            return AgentNotice(method, params)
        if isinstance(number, int | str) and not isinstance(number, bool):
            return AgentRequest(number, method, params)
        return None
    if not isinstance(number, int) or isinstance(number, bool):
        return None
    if "error" in message and message["error"] is not None:
        return AgentAnswer(number, fault=_read_fault(message["error"]))
    return AgentAnswer(number, result=message.get("result"))


def _read_fault(error: Any) -> Fault:
    if not isinstance(error, dict):
        return Fault(0, str(error)[:_NOISE_TOLD])
    code = error.get("code")
    said = error.get("message")
    return Fault(
        code if isinstance(code, int) else 0,
        said if isinstance(said, str) and said else "it gave no reason",
        error.get("data"),
    )


def _refuse(_name: str) -> Any:
    raise ValueError("no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("no number that a fact can hold")
    return number


def _whole(value: Any) -> Any:
    """The value with halves of surrogate pairs replaced, which no fact can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value


def encode_message(message: dict[str, Any]) -> bytes:
    """The line of a message of the client's."""
    text = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":"))
    return text.encode() + b"\n"
