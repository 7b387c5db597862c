"""What a person set up: `tui.toml`, and the theme that was chosen last."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.words.errors import StartRefused
from penstock.words.plain_files import read_plain, reason_of, write_plain
from penstock.words.toml_text import parse_toml

DEFAULT_THEME = "penstock-dark"
_KEYS = {"theme", "keys", "read_only"}


@dataclass(frozen=True, slots=True)
class Settings:
    """`keys` maps a binding's id to the keys that do it: {"app.quit": "Q,ctrl+d"}."""

    theme: str = DEFAULT_THEME
    keys: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    #: Where the theme is kept; None: nowhere.
    kept: Path | None = None

    def keep_theme(self, theme: str) -> None:
        """Remember the theme for the next start; a folder that cannot be written is no error."""
        if self.kept is None:
            return
        with contextlib.suppress(OSError):
            self.kept.parent.mkdir(parents=True, exist_ok=True)
            write_plain(self.kept, json.dumps({"theme": theme}))


def load_settings(environ: Mapping[str, str], state: Path) -> Settings:
    """The settings; StartRefused names the file and the key that does not fit."""
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(
        environ.get("HOME", "/"), ".config"
    )
    path = Path(home) / "penstock" / "tui.toml"
    data = _read(path)
    if unknown := sorted(data.keys() - _KEYS):
        raise StartRefused(
            f"{path}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(_KEYS))}"
        )
    keys = data.get("keys", {})
    if not isinstance(keys, dict) or not all(
        isinstance(key, str) for key in keys.values()
    ):
        raise StartRefused(f'{path}: [keys] holds lines like "app.quit" = "Q"')
    kept = state / "tui.json"
    return Settings(
        theme=str(data.get("theme") or _kept_theme(kept) or DEFAULT_THEME),
        keys=keys,
        read_only=bool(data.get("read_only", False)),
        kept=kept,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_plain(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StartRefused(f"{path} cannot be read: {reason_of(error)}") from None


def _kept_theme(path: Path) -> str | None:
    try:
        theme = json.loads(read_plain(path)).get("theme")
    except (OSError, ValueError, AttributeError):
        return None
    return theme if isinstance(theme, str) else None
