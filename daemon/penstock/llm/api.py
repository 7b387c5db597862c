"""One model server over HTTP: what both protocols do alike with its address, key and streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import httpx

from penstock.llm.chat import OnText, Reply, StreamBroken
from penstock.llm.http import bearer, each_line, open_response, read_object


class AnswerFold(Protocol):
    """What the lines of one stream add up to."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be read."""
        ...

    @property
    def reply(self) -> Reply | None:
        """The whole answer; None before its end marker."""
        ...

    def take(self, line: str) -> str:
        """Fold one line; the text it adds."""
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
        self, path: str, body: Mapping[str, Any], answer: AnswerFold, on_text: OnText
    ) -> Reply:
        """Fold the stream into `answer`, handing over its text piece by piece."""

        async def take(line: str) -> bool:
            if text := answer.take(line):
                await on_text(text)
            return answer.ended

        url = f"{self.url}{path}"
        async with open_response(
            self._client, "POST", url, body=body, headers=self._headers
        ) as response:
            await each_line(response, take)
        if answer.reply is None:
            raise StreamBroken(
                f"the answer of {body['model']} ended without its end marker"
            )
        return answer.reply

    async def names(self, path: str, field: str, key: str) -> frozenset[str]:
        """The `key` of every object in the list under `field`."""
        url = f"{self.url}{path}"
        async with open_response(
            self._client, "GET", url, headers=self._headers
        ) as response:
            found = (await read_object(response)).get(field)
        listed = found if isinstance(found, list) else []
        return frozenset(str(m.get(key, "")) for m in listed if isinstance(m, dict))
