"""Where the configuration comes from: flag > environment > config file > default.

In the environment a setting is `PENSTOCK_PORT`, nested by `__`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.words.errors import StartRefused
from penstock.words.near_words import did_you_mean, nearest
from penstock.words.plain_files import read_plain, reason_of

if TYPE_CHECKING:
    from pydantic import ValidationError

    from penstock.words.config import Config

#: Environment names that are not keys of Config.
_NOT_KEYS = frozenset({
    "CONFIG", "URL", "TOKEN", "RUN_ID", "EPOCH", "SOCKET", "ADDRESS", "CONTAINMENT", "DELEGATED", "RING",
})  # fmt: skip

#: Keys of older versions that are understood; see `_by_todays_name`.
_RENAMED = frozenset({"log_json"})
#: What the values of that one are called now.
_WAS_LOG_JSON = {
    **dict.fromkeys(("true", "1", "yes", "on"), "json"),
    **dict.fromkeys(("false", "0", "no", "off"), "text"),
}

#: Keys of files for older versions, which decide nothing any more.
_RETIRED = frozenset({"output_line_bytes"})


def load_config(
    environ: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    path: Path | None = None,
) -> tuple[Config, dict[str, str]]:
    """The configuration and, by key, where each value that is not a default came from.

    StartRefused says in one sentence which file or key is wrong, and names the nearest key.
    """
    from pydantic import ValidationError

    from penstock.words.config import Config

    merged, sources = _read(environ, flags, path)
    try:
        return Config.model_validate(merged), sources
    except ValidationError as error:
        raise StartRefused(_explain(error, sources)) from None


def load_folders(
    environ: Mapping[str, str], path: Path | None = None
) -> tuple[Path | None, Path | None]:
    """The configured state and runtime folders, as `load_config` has them; None for a default.

    What most commands need of a configuration. The models of all settings take 0.2 s of CPU, and
    are made only where something is configured: then a mistake in it is told, as ever.
    """
    if not _read(environ, None, path)[0]:
        return None, None
    config, _ = load_config(environ, None, path)
    return config.state_dir, config.runtime_dir


def _read(
    environ: Mapping[str, str], flags: Mapping[str, Any] | None, path: Path | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """All that is configured, unchecked, and by key where it came from."""
    path = path or config_path(environ)
    sources: dict[str, str] = {}
    merged: dict[str, Any] = {}
    for source, values in (
        (str(path), _read_file(path, required="PENSTOCK_CONFIG" in environ)),
        ("environment", _read_environment(environ)),
        ("flag", {k: v for k, v in (flags or {}).items() if v is not None}),
    ):
        # What an older version knew is no mistake of its user.
        values = {key: item for key, item in values.items() if key not in _RETIRED}
        values = _by_todays_name(values, source)
        _merge(merged, values)
        sources.update(dict.fromkeys(_keys(values), source))
    return merged, sources


def _by_todays_name(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`log_json`, which older versions knew, as the `log_format` that it means. StartRefused."""
    values = dict(values)
    if "log_json" not in values:
        return values
    was = values.pop("log_json")
    meant = _WAS_LOG_JSON.get(str(was).lower())
    if meant is None:
        raise StartRefused(f'{source}: log_json is now log_format = "json" or "text"')
    return {"log_format": meant, **values}


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the config file is looked for."""
    if named := environ.get("PENSTOCK_CONFIG"):
        return Path(named).expanduser()
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(
        environ.get("HOME", "/"), ".config"
    )
    return Path(home) / "penstock" / "config.toml"


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        text = read_plain(path)
        # Late: most have no such file.
        from penstock.words.toml_text import parse_toml

        return parse_toml(text)
    except FileNotFoundError:
        if required:
            raise StartRefused(f"the config file {path} does not exist") from None
        return {}
    # What TOML and UTF-8 raise are ValueErrors.
    except (OSError, ValueError) as error:
        why = reason_of(error)
        raise StartRefused(f"the config file {path} cannot be read: {why}") from None


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    said = {
        name: text
        for name, text in environ.items()
        if name.startswith("PENSTOCK_")
        and name.removeprefix("PENSTOCK_") not in _NOT_KEYS
    }
    if not said:
        return values
    from penstock.words.config import Config

    # Sorted, so that a whole table comes before the keys that change it.
    for name, text in sorted(said.items()):
        keys = name.removeprefix("PENSTOCK_").lower().split("__")
        if keys[0] not in Config.model_fields and keys[0] not in _RENAMED:
            # An unknown name may belong to another program; a mistyped one is told by `doctor`.
            continue
        table = values
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise StartRefused(f"environment: {name}: {key!r} has a value already")
        table[keys[-1]] = _value(text)
    return values


def mistyped(environ: Mapping[str, str]) -> dict[str, str]:
    """Names that look like ours and mean nothing, each with the nearest that does ("" for none)."""
    from penstock.words.config import Config

    names = (*Config.model_fields, *_RENAMED, *_NOT_KEYS)
    known = [f"PENSTOCK_{name.upper()}" for name in names]
    found = {}
    for name in sorted(environ):
        head = name.split("__")[0]
        if name.startswith("PENSTOCK_") and head not in known:
            found[name] = nearest(head, known)
    return found


def _value(text: str) -> Any:
    """Lists, tables and numbers are written as JSON; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        keys += (
            _keys(value, f"{name}.") if isinstance(value, Mapping) and value else [name]
        )
    return keys


def _explain(error: ValidationError, sources: Mapping[str, str]) -> str:
    from penstock.words.config import Config, Models

    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    where = sources.get(key) or next(
        (s for k, s in sources.items() if k.startswith(key)), "flag"
    )
    if first["type"] == "extra_forbidden":
        known = list(Config.model_fields) + [
            f"models.{name}" for name in Models.model_fields
        ]
        return f"{where}: unknown key {key!r}{did_you_mean(key, known)}"
    if first["type"] in ("model_type", "dict_type"):
        # Pydantic's own words are those of Python, not of the file.
        return f"{where}: {key}: must be a table, as [{key}] begins one"
    return f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}"
