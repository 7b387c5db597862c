#!/usr/bin/env python3
"""A `systemctl --user` that keeps the units it was told of in a file; put first on PATH.

`systemctl.json` beside it holds `{"running": WORD, "active": [...], "calls": [...], "fail": [...]}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FILE = Path(sys.argv[0]).with_name("systemctl.json")


def main() -> int:
    """One call."""
    state = json.loads(FILE.read_text())
    verb, *rest = [
        word for word in sys.argv[1:] if word not in ("--user", "--no-pager")
    ]
    units = [word for word in rest if not word.startswith("--")]
    state["calls"].append([verb, *rest])
    code = answer(state, verb, units)
    FILE.write_text(json.dumps(state))
    return code


def answer(state: dict[str, Any], verb: str, units: list[str]) -> int:
    if verb in state["fail"]:
        print(f"{verb} was planted to fail", file=sys.stderr)
        return 1
    if verb == "is-system-running":
        print(state["running"])
        return int(state["running"] != "running")
    if verb in ("start", "restart"):
        state["active"] = sorted({*state["active"], *units})
    if verb in ("stop", "disable"):
        state["active"] = [unit for unit in state["active"] if unit not in units]
    if verb == "show":
        show(state, units[0])
    return 0


def show(state: dict[str, Any], unit: str) -> None:
    folder = Path.home() / "config" / "systemd" / "user"
    there = (folder / unit).exists()
    print(f"LoadState={'loaded' if there else 'not-found'}")
    print(f"ActiveState={'active' if unit in state['active'] else 'inactive'}")
    print(f"StatusText=0 running, 0 queued\nMainPID={state.get('pid', 0)}")
    print("SubState=running\nNRestarts=0\nResult=success\nUnitFileState=enabled")


if __name__ == "__main__":
    sys.exit(main())
