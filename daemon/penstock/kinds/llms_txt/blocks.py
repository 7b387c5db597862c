"""What a document is read as, whatever its form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """A heading or a paragraph: strangers' words on one line, without markup.

    Of what is neither only the place is told, by no words.
    """

    words: str
    #: Of a heading, 1 for the first; 0 for a title that is told apart from the text. None for prose.
    level: int | None = None
    #: Whether it stands in HTML within another form.
    html: bool = False
