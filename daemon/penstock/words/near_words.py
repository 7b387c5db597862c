"""What may have been meant by a word that nobody knows: one sentence for every surface."""

from __future__ import annotations

from collections.abc import Iterable

#: Characters of such a word that are told.
MOST_TOLD = 80
#: Words among which is looked: to compare a thousand takes some milliseconds.
MOST_COMPARED = 1000


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one; "" if none is like it."""
    # Late: it is needed when somebody has mistyped something.
    from difflib import get_close_matches

    among = list(known)[:MOST_COMPARED]
    return next(iter(get_close_matches(word[:MOST_TOLD], among, n=1)), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'disk'?`, to end a sentence that refuses the word; "" if there is nothing like it."""
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near else ""
