"""docs/configuration.md, made from the fields of `Config`.

Run this file to bring the document up to date; tests/words/test_config.py fails when it is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from penstock.cli.config import ConfigKey, config_keys

DOCUMENT = Path(__file__).parent.parent / "docs" / "configuration.md"

INTRODUCTION = """\
# Settings

<!-- made by tests/configuration_document.py from daemon/penstock/words/config.py -->

A setting comes from a flag of `penstock serve`, else from the environment, else from the config file, else it
is the default. `penstock config` shows each with its value and where it came from; `penstock config KEY` says
what it is. An unknown key of the file is refused, with the nearest that there is.

The file is `~/.config/penstock/config.toml`, or as `XDG_CONFIG_HOME`, `PENSTOCK_CONFIG` or `--config` say:

```toml
max_concurrent = 2

[models]
provider = "ollama"
chain = ["mistral:7b", "qwen3:8b"]

[groups.disk]
slots = 1
```

In the environment the same is `PENSTOCK_MAX_CONCURRENT=2`, with two underscores before the key of a table:
`PENSTOCK_MODELS__CHAIN='["mistral:7b", "qwen3:8b"]'`. Lists, tables and numbers are written as JSON. The daemon
reads them when it starts.
"""

TABLES = {
    "": "At the top of the file",
    "groups": "`[groups.NAME]`",
    "agents": "`[agents]`, which has `max_alive`, and `[agents.NAME]`, which has the others",
    "models": "`[models]`",
    "models.chain": "An entry of `models.chain` that is a table",
    "models.roles": "`[models.roles.plan]`, and so for `write`, `judge` and `describe`",
    "models.run_budget": "`[models.run_budget]`",
    "models.tree_budget": "`[models.tree_budget]`",
    "hooks": "`[[hooks]]`",
}


def document() -> str:
    """The whole document."""
    parts = [INTRODUCTION]
    for name, heading in TABLES.items():
        rows = [s for s in config_keys() if table_of(s) == name]
        parts += [f"## {heading}\n", table(rows)]
    return "\n".join(parts)


def table_of(setting: ConfigKey) -> str:
    """The table of the file that a setting stands in."""
    return setting.key.rpartition(".")[0].removesuffix(".*")


def table(rows: Iterable[ConfigKey]) -> str:
    """One row per setting."""
    lines = ["| setting | unit | default | what it is |", "|---|---|---|---|"]
    for row in rows:
        key = row.key.rpartition(".")[2]
        lines.append(
            f"| `{key}` | {row.unit} | `{row.default}`{in_short(row)} | {row.reason} |"
        )
    return "\n".join(lines) + "\n"


def in_short(row: ConfigKey) -> str:
    """A large number of bytes or seconds as a person says it; "" for another value."""
    steps = {
        "bytes": ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")),
        "seconds": ((86400, "days"), (3600, "hours"), (60, "minutes")),
    }.get(row.unit, ())
    if row.default == "none":
        return ""
    for least, name in steps:
        count = float(row.default) / least
        if count >= 1:
            said = f"{count:g} {name}"
            return f" ({said.removesuffix('s') if count == 1 and row.unit == 'seconds' else said})"
    return ""


if __name__ == "__main__":
    DOCUMENT.write_text(document())
