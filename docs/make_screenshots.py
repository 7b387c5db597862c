"""Makes the pictures of the README from a scene told to a real core: python docs/make_screenshots.py

The data and the clock are frozen, so a picture changes only when the dashboard does.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fakes.tui_processes import open_scene
from fakes.tui_scene import FROZEN
from penstock_tui.app import Dashboard
from penstock_tui.picture import take_picture
from penstock_tui.settings import Settings

#: Facts a second, as a busy daemon has them.
HISTORY = [
    max(0, 57 + 30 * (n * 7 % 11 - 5) // 5 - (n % 17 == 0) * 40) for n in range(100)
]
FOLDER = Path(__file__).parent / "pictures"
#: Name, theme, size, and the run that is shown (None: the overview).
PICTURES = (
    ("overview-dark", "penstock-dark", (120, 36), None),
    ("overview-200x50", "penstock-dark", (200, 50), None),
    ("overview-light", "penstock-light", (120, 36), None),
    ("overview-80x24", "penstock-dark", (80, 24), None),
    ("overview-60x16", "penstock-dark", (60, 16), None),
    ("overview-46x30", "penstock-dark", (46, 30), None),
    ("run-dark", "penstock-dark", (120, 30), "r-1bc7"),
)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with open_scene("--scene", "busy", "--frozen") as daemon:
        for name, theme, size, run_id in PICTURES:
            app = Dashboard(
                find=lambda: daemon.address,
                settings=Settings(theme=theme),
                now=lambda: FROZEN,
            )
            # The port is another one each time, and a picture should not be.
            app.model.history.extend(HISTORY)
            app.monitor.shown_address = "127.0.0.1:9876"
            take_picture(app, FOLDER / f"{name}.svg", size, run_id=run_id)
            sys.stdout.write(f"{name}.svg\n")


if __name__ == "__main__":
    main()
