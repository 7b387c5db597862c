"""The command line, which notes what its loop imports while it has a lease: `noted_imports.py FILE serve …`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

_noted: list[str] = []
_has_lease = threading.Event()


def _note(event: str, args: tuple[object, ...]) -> None:
    if event == "open" and str(args[0]).endswith("/lease"):
        _has_lease.set()
    on_loop = threading.current_thread() is threading.main_thread()
    if event == "import" and on_loop and _has_lease.is_set():
        _noted.append(str(args[0]))


def main() -> None:
    """As the command line, with what was noted in the file at its end."""
    from penstock.cli.main import main as command_line

    file = Path(sys.argv.pop(1))
    sys.addaudithook(_note)
    try:
        command_line()
    finally:
        file.write_text("\n".join(_noted))


if __name__ == "__main__":
    main()
