"""Which kinds there are: those installed under the entry-point group `penstock.pipelines`.

The daemon's own kinds are found the same way as anybody's. A plug-in that does not work is told in
the log and left out: one broken package must not keep a daemon from starting.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from penstock.pipeline import Kind

#: The entry-point group; each entry's value is `module:KIND`.
GROUP = "penstock.pipelines"

_log = logging.getLogger("penstock.pipelines")


def load_kinds(found: Iterable[EntryPoint] | None = None) -> dict[str, Kind]:
    """Every installed kind by its name; imports the plug-ins, so it blocks.

    Of two kinds with one name the daemon's own wins, else the first by the entry's value.
    """
    kinds: dict[str, Kind] = {}
    entries = entry_points(group=GROUP) if found is None else found
    for entry in sorted(
        entries, key=lambda entry: (not _is_ours(entry), entry.name, entry.value)
    ):
        kind = _load(entry)
        if kind is None:
            continue
        if (other := kinds.get(kind.name)) is not None:
            if other is not kind:
                _log.error(
                    "%s is left out: a kind %r is there already", entry.value, kind.name
                )
            continue
        kinds[kind.name] = kind
    return kinds


def _is_ours(entry: EntryPoint) -> bool:
    return entry.value.startswith("penstock.")


def _load(entry: EntryPoint) -> Kind | None:
    try:
        kind = entry.load()
    # A stranger's module may do anything while it is imported, even leave by SystemExit.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        _log.error("%s is left out: %s: %s", entry.value, type(error).__name__, error)
        return None
    if not isinstance(kind, Kind):
        _log.error(
            "%s is left out: it is no Kind but %s", entry.value, type(kind).__name__
        )
        return None
    return kind
