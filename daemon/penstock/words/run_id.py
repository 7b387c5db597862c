"""The one form of a run id. Apart from the other values, since commands need it and no models."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

#: Characters in a run id: it is part of file names and URLs.
LONGEST_RUN_ID = 200
#: Runs whose dismissed failures a daemon keeps in mind, the newest: more than anybody looks through in
#: the quarter of an hour in which a failure is news.
MOST_DISMISSED = 2000
#: Ids in one request that dismisses failures.
MOST_DISMISSED_AT_ONCE = 500
#: The label that says what a run is called by people.
NAME_LABEL = "name"
#: The label that says which coding agent does it: what people call it where it has no name.
AGENT_LABEL = "agent"
#: Ids that nobody has chosen: the daemon makes them so.
GENERATED = re.compile(r"\br-[0-9a-f]{12}\b")


def check_run_id(value: Any) -> str:
    """The run id in its one form; ValueError says why it is refused.

    Path separators and control characters become `-`, and the text is NFC, so ids that look alike
    are alike. This is how an id is looked up; see `check_new_run_id` for that of a new run.
    """
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if "\0" in value:
        raise ValueError("must not contain NUL")
    text = unicodedata.normalize("NFC", value)
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > LONGEST_RUN_ID:
        raise ValueError(
            f"must have at most {LONGEST_RUN_ID} characters, has {len(text)}"
        )
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise ValueError("must be valid Unicode")
    text = "".join(
        "-" if c in "/\\" or unicodedata.category(c) == "Cc" else c for c in text
    )
    return "-" * len(text) if text in {".", ".."} else text


def check_new_run_id(value: Any) -> str:
    """The id that somebody chose for a new run; ValueError says why it is refused.

    It is kept as it was written, or not at all: under another id its run would not be found, and two
    that were written differently would be one. Nor may it be what commands take for something else.
    """
    text = check_run_id(value)
    if text != unicodedata.normalize("NFC", value):
        raise ValueError(
            "must have no slash, backslash or control character, and be neither . nor ..:"
            f" it would become {text!r}"
        )
    if text.startswith("-"):
        raise ValueError("must not begin with -, as options do")
    if text.isdecimal():
        raise ValueError("must not be a number alone: numbers are given by the daemon")
    return text
