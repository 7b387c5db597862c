"""A recorded fact as a daemon told it, on a plain dict: what a `Recorded` is to who shows it.

Nothing is checked, and no models of events are imported: those take longer than a command does all else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from penstock.words.printed import ReadPiece, read_piece


class ToldFact:
    """See the module's text, and `printed.ShownFact`."""

    __slots__ = ("_envelope",)

    def __init__(self, envelope: Mapping[str, Any]) -> None:
        self._envelope = envelope

    @property
    def run_id(self) -> str:
        return str(self._envelope["run_id"])

    @property
    def position(self) -> int:
        return int(self._envelope["position"])

    @property
    def sequence(self) -> int:
        return int(self._envelope["sequence"])

    @property
    def type(self) -> str:
        return str(self._envelope["event"].get("type", ""))

    @property
    def at(self) -> datetime:
        """When it happened, in UTC."""
        return datetime.fromisoformat(self._envelope["at"])

    @property
    def event(self) -> ToldEvent | ReadPiece:
        """The fact; of output the piece, if it is one of a shape that is known here."""
        fields = self._envelope["event"]
        piece = read_piece(fields) if self.type == "log" else None
        return ToldEvent(fields) if piece is None else piece

    @property
    def body(self) -> bytes:
        """The fact as JSON."""
        return _to_json(self._envelope["event"])

    @property
    def envelope(self) -> Mapping[str, Any]:
        """All that was told."""
        return self._envelope

    def wire(self) -> bytes:
        """The envelope as one JSON object without a newline."""
        return _to_json(self._envelope)


class ToldEvent:
    """What a fact says; AttributeError for what it does not say."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(name) from None


def _to_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
