"""The names under which files of ours stand until they are whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PREFIX = ".penstock-"
_SUFFIX = ".tmp"


def hidden_name(target: Path, tag: str) -> Path:
    """Where the text for `target` stands until it is whole."""
    digest = hashlib.sha256(
        f"{tag}\0{target.name}".encode(errors="surrogatepass")
    ).hexdigest()
    return target.with_name(f"{_PREFIX}{digest[:16]}{_SUFFIX}")


def is_hidden_name(name: str) -> bool:
    """Whether a file of this name is, or was, on its way into place."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)
