"""What both engines need of HTTP: errors in our words, lines of a stream, bounded bodies."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, Self

import httpx
import trio

from penstock.http_clients import LONGEST_DRAIN, each_piece, read_bounded
from penstock.llm.chat import (
    NOTHING_HEARD,
    Heard,
    ModelStopped,
    OnHeard,
    Reply,
    RequestRefused,
    StreamBroken,
)
from penstock.words.errors import ModelFailed, ModelUnreachable

#: A line of a stream holds one token or one closing record; a longer one is not our protocol.
LONGEST_LINE = 1024 * 1024

#: Bytes read of a body that is not streamed: an error, or the list of models.
LARGEST_BODY = 1024 * 1024

#: Characters of a server's own words that we repeat.
LONGEST_QUOTE = 300

#: What no server counts to: more is a mistake, and would be one in every sum that it enters.
LARGEST_COUNT = 10**15

#: Seconds for what may follow the last word of an answer: what it cost, and the end of the stream.
TAIL_SECONDS = 10.0

#: What answers whoever takes something else for a model server: no waiting mends that.
_NO_STREAMS = frozenset({"text/html", "application/json"})


class LineSplitter:
    """Cuts bytes into lines before they are decoded: a character may arrive in two pieces."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, piece: bytes) -> list[str]:
        """The lines that `piece` completes. StreamBroken if one is too long or not UTF-8."""
        searched = len(self._pending)
        self._pending += piece
        if b"\n" not in piece:
            if searched + len(piece) > LONGEST_LINE:
                raise StreamBroken(
                    f"the model server sent a line of over {LONGEST_LINE} bytes"
                )
            return []
        *lines, rest = self._pending.split(b"\n")
        self._pending = rest
        return [decode(line) for line in lines]

    def close(self) -> list[str]:
        """The last line, if it had no end."""
        rest, self._pending = self._pending, bytearray()
        return [decode(rest)] if rest else []


def decode(line: bytes | bytearray) -> str:
    """The text of a line. StreamBroken if it is not UTF-8."""
    try:
        return line.rstrip(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise StreamBroken("the model server sent bytes that are not UTF-8") from None


@asynccontextmanager
async def open_response(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[httpx.Response]:
    """A response with a good status, its body not read yet; leaving closes the socket if need be."""
    # Compressed streams are held back until a block is full.
    plain = {"Accept-Encoding": "identity", **(headers or {})}
    try:
        request = client.build_request(method, url, json=body, headers=plain)
        request.stream = _Body(request.content)
        response = await client.send(request, stream=True)
        try:
            if not response.is_success:
                raise await _refusal(response)
            if packed := _packed(response):
                raise ModelFailed(
                    f"the model server at {url} packs its answers ({packed}), though it is asked not to"
                )
            yield response
        finally:
            with trio.move_on_after(LONGEST_DRAIN, shield=True):
                await response.aclose()
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        why = (
            "no connection in time"
            if isinstance(error, httpx.ConnectTimeout)
            else str(error)
        )
        detail = f"the model server at {url} does not answer: {why}"
        raise ModelUnreachable(detail, address=url) from None
    except httpx.TransportError as error:
        detail = f"the model server at {url} broke off: {type(error).__name__} {error}".rstrip()
        raise StreamBroken(detail, address=url) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ModelUnreachable(
            f"{url} is not an address: {error}", address=url
        ) from None


class _Body(httpx.AsyncByteStream):
    """A request's body in one piece.

    The library's own is an async generator, which nobody closes when a request is cancelled while
    it is being sent.
    """

    def __init__(self, content: bytes) -> None:
        self._pieces = [content] if content else []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:  # noqa: ASYNC910 - there is nothing to wait for
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop()


async def each_line(
    response: httpx.Response, on_line: Callable[[str], Awaitable[bool]]
) -> None:
    """Hand over the lines of the body until `on_line` says that the end marker has come."""
    lines = LineSplitter()

    async def take(piece: bytes) -> bool:
        for line in lines.feed(piece):
            if await on_line(line):
                return True
        return False

    if not await each_piece(response, take, raw=True):
        for line in lines.close():
            await on_line(line)


def bearer(api_key: str | None) -> dict[str, str]:
    """The header that shows a key to a server."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`; StreamBroken if it is none."""
    value = parse_value(text)
    if not isinstance(value, dict):
        raise _no_protocol(text)
    return value


def parse_value(text: str) -> Any:
    """The JSON in `text`; StreamBroken if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _no_protocol(text) from None


def _no_protocol(text: str) -> StreamBroken:
    return StreamBroken(
        f"the model server sent something that is not its protocol: {quote(text)}"
    )


def quote(text: str) -> str:
    """A server's words, short enough for a sentence."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + " …"


def seconds_until(retry_after: str | None, now: datetime) -> float | None:
    """`Retry-After` in seconds: a number or an HTTP date; None if it is neither."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def count(value: Any) -> int | None:
    """A provider's count of tokens, if that is what it is."""
    counts = isinstance(value, int) and not isinstance(value, bool)
    return value if counts and 0 <= value <= LARGEST_COUNT else None


def _packed(response: httpx.Response) -> str:
    """How a body is packed, "" if it is not: unpacking would give a stranger as much memory as he likes."""
    told = response.headers.get("content-encoding", "").strip()
    return "" if told.lower() == "identity" else quote(told)


async def _refusal(response: httpx.Response) -> RequestRefused:
    body = await read_bounded(response, LARGEST_BODY, raw=True)
    text = "" if _packed(response) else body.decode("utf-8", "replace")
    status = response.status_code
    why = quote(_reason(text)) or response.reason_phrase
    if where := response.headers.get("location"):
        # Nobody goes there: the key is for the address that was configured.
        why = f"{why}, and points to {quote(where)}"
    detail = f"the model server at {response.url} answered {status}: {why}"
    pause = seconds_until(response.headers.get("retry-after"), datetime.now(UTC))
    return RequestRefused(detail, status=status, retry_after=pause)


def _reason(text: str) -> str:
    """The sentence inside an error body; both protocols put it under `error`."""
    try:
        error = json.loads(text)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return text
    if isinstance(error, dict):
        return str(error.get("message", error))
    return str(error)


def _blamed(error: StreamBroken, url: str, kind: str) -> ModelFailed:
    """`error`, or that the address is wrong: of an answer of which nothing was heard its kind tells."""
    if isinstance(error, ModelStopped) or kind not in _NO_STREAMS:
        return error
    return ModelFailed(
        f"what answers at {url} is no model server that streams: it sent {kind};"
        " is `models.url` right?"
    )


class AnswerFold(Protocol):
    """What the lines of one stream add up to."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be read."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the last word has come; what it cost may follow."""
        ...

    @property
    def reply(self) -> Reply | None:
        """The whole answer; None before its end marker."""
        ...

    def take(self, line: str) -> Heard:
        """Fold one line; what it adds."""
        ...


class Api:
    """An address, and the key that goes with every request. Errors are those of `Engine.chat`."""

    def __init__(
        self, client: httpx.AsyncClient, url: str, api_key: str | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._client = client
        self._headers = bearer(api_key)

    async def ask(
        self, path: str, body: Mapping[str, Any], answer: AnswerFold, on_heard: OnHeard
    ) -> Reply:
        """Fold the stream into `answer`, handing over what it says piece by piece."""
        url = f"{self.url}{path}"
        tail, silent, kind = trio.CancelScope(), True, ""

        async def take(line: str) -> bool:
            nonlocal silent
            try:
                heard = answer.take(line)
            except StreamBroken as error:
                raise (_blamed(error, url, kind) if silent else error) from None
            if heard != NOTHING_HEARD:
                silent = False
                await on_heard(heard)
            if answer.finished and math.isinf(tail.deadline):
                tail.deadline = trio.current_time() + TAIL_SECONDS
            return answer.ended

        with tail:
            async with open_response(
                self._client, "POST", url, body=body, headers=self._headers
            ) as response:
                told = response.headers.get("content-type", "")
                kind = told.partition(";")[0].strip().lower()
                await each_line(response, take)
        if answer.reply is None:
            why = f"the answer of {body['model']} ended without its end marker"
            broken = StreamBroken(why)
            raise _blamed(broken, url, kind) if silent else broken
        return answer.reply

    @property
    def has_key(self) -> bool:
        """Whether requests show a key."""
        return bool(self._headers)

    async def get(self, path: str) -> Any:
        """The JSON at a path, up to `LARGEST_BODY`; a path that begins with `..` is beside the address."""
        return await self._send("GET", path, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON with which a short question is answered."""
        return await self._send("POST", path, body)

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> Any:
        url = f"{self.url}{path}"
        if path.startswith("../"):
            url = f"{self.url.removesuffix('/v1')}{path[2:]}"
        try:
            async with open_response(
                self._client, method, url, body=body, headers=self._headers
            ) as response:
                answer = await read_bounded(response, LARGEST_BODY, raw=True)
            try:
                return parse_value(decode(answer))
            except StreamBroken as error:
                why = f"{error}; that was at {url}: is `models.url` right?"
                raise StreamBroken(why) from None
        except ModelUnreachable as error:
            # People know the server by the address that they configured.
            said = str(error).replace(url, self.url)
            raise ModelUnreachable(said, address=self.url) from None


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A request's body with further fields; objects that both have are joined."""
    made = dict(body)
    for name, value in extra.items():
        there = made.get(name)
        if isinstance(there, dict) and isinstance(value, Mapping):
            value = {**there, **value}
        made[name] = value
    return made


def objects_in(value: Any, field: str) -> list[dict[str, Any]]:
    """The objects of the list under `field`."""
    listed = value.get(field) if isinstance(value, dict) else None
    found = listed if isinstance(listed, list) else []
    return [one for one in found if isinstance(one, dict)]
