"""What an export leaves out of a run's inputs: values that no surface shows either, such as `--env`.

A mark stands in their place, which no field of text accepts, so that a run without them can neither
be retried nor executed by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from penstock.words.surroundings import passed_on

#: What stands where a value stood; the key alone is looked for first.
MARK_KEY = "left_out_of_export"
MARK = {MARK_KEY: True}


def leave_out(inputs: bytes, shown: Any) -> bytes | None:
    """The inputs with a mark for each value that `shown` has not; None if it has all of them.

    Values that every run is given (PATH, HOME) are no secrets, and stay although they are not shown.
    """
    whole = from_json(inputs)
    kept = _kept(whole, shown, "")
    return None if kept == whole else to_json(kept)


def left_out(inputs: bytes) -> list[str]:
    """The dotted names of what was left out of these inputs."""
    if MARK_KEY.encode() not in inputs:
        return []
    return list(_marked(from_json(inputs), "inputs"))


def _kept(value: Any, shown: Any, name: str) -> Any:
    if value == shown:
        return value
    if isinstance(value, Mapping) and isinstance(shown, Mapping):
        plain = passed_on(value) if name == "env" else {}
        return {
            key: item if key in plain else _kept(item, shown.get(key), key)
            for key, item in value.items()
        }
    if isinstance(value, list) and isinstance(shown, list) and len(value) == len(shown):
        return [
            _kept(item, other, name) for item, other in zip(value, shown, strict=True)
        ]
    # A mark is not marked again, by the export of an imported log.
    return value if value == MARK else MARK


def _marked(value: Any, name: str) -> Iterator[str]:
    if value == MARK:
        yield name
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _marked(item, f"{name}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _marked(item, f"{name}.{index}")
