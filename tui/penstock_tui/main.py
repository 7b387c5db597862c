"""`penstock-tui`: the command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from penstock.haste import in_haste
from penstock.unforeseen import guarded, open_streams
from penstock.words.errors import PenstockError, Refused, Unauthorised
from penstock.words.text import neutralise

if TYPE_CHECKING:
    from penstock.words.address import Address
    from penstock_tui.replay import Replay
    from penstock_tui.settings import Settings

#: Exit codes of the command line, as `penstock` has them.
USAGE, AUTH = 2, 77
NAME = "penstock tui"
#: What TERM says of a terminal that knows lines and nothing else.
NO_SCREENS = frozenset({"", "dumb"})


def main(argv: Sequence[str] | None = None) -> None:
    """Run the dashboard until it is quit."""
    open_streams()
    words = sys.argv[1:] if argv is None else argv
    code = guarded(
        lambda: run(parser().parse_args(words)), NAME, debug="--debug" in words
    )
    if code:
        sys.exit(code)
    # Nothing is left to save; taking the interpreter apart would keep the prompt waiting.
    sys.stderr.flush()
    os._exit(0)


class OptionParser(argparse.ArgumentParser):
    """Quotes what it does not know so that no terminal obeys it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the call, and exit with 2."""
        super().error(neutralise(message))


def parser() -> argparse.ArgumentParser:
    """What the command takes. Imports stay below: `--help` must not wait for them."""
    take = OptionParser(prog="penstock tui", description="Watch and steer the daemon.")
    take.add_argument("--url", help="the daemon: http://host:port or unix:/path")
    take.add_argument(
        "--read-only", action="store_true", help="look, but change nothing"
    )
    take.add_argument(
        "--log",
        metavar="COPY",
        help="replay a copied log (database or NDJSON), or one at postgresql://USER@HOST/DATABASE",
    )
    take.add_argument(
        "--theme", help="penstock-dark, penstock-light, or one of Textual's"
    )
    take.add_argument(
        "--screenshot", type=Path, metavar="FILE.svg", help="draw one picture and leave"
    )
    take.add_argument(
        "--size", default="120x40", help="of the picture, in characters (120x40)"
    )
    take.add_argument("--run", metavar="ID", help="show this run")
    take.add_argument(
        "--debug", action="store_true", help="a traceback for what was not foreseen"
    )
    return take


def run(asked: argparse.Namespace) -> int:
    """The exit code. Sentences go to stderr, but not while Textual draws there."""
    from penstock.words.address import find_address, find_paths
    from penstock.words.config_sources import load_config
    from penstock_tui.settings import load_settings

    try:
        config, _ = load_config(os.environ)
        paths = find_paths(
            os.environ, state_dir=config.state_dir, runtime_dir=config.runtime_dir
        )
        settings = load_settings(os.environ, paths.state)
        if asked.url:
            find_address(os.environ, paths, asked.url)
        return show(asked, settings, lambda: find_address(os.environ, paths, asked.url))
    except Unauthorised as error:
        return _fail(error, AUTH)
    except Refused as error:
        return _fail(error, USAGE)
    except PenstockError as error:
        return _fail(error, 1)


def on_terminal() -> bool:
    """Whether keys can come from stdin and Textual, which draws on stderr, is seen there."""
    return all(
        stream is not None and stream.isatty()
        for stream in (sys.__stdin__, sys.__stderr__)
    )


def _fail(error: Exception | str, code: int) -> int:
    sys.stderr.write(f"penstock tui: {neutralise(str(error))}\n")
    return code


def _replay_of(log: str) -> Replay:
    """The replay of a file, or of a server's schema that the settings name."""
    from penstock_tui.replay import open_far_replay, open_replay

    if "://" not in log:
        return open_replay(Path(log))
    from penstock.words.config_sources import load_config

    config, _ = load_config(os.environ, {"store": log})
    assert config.store is not None
    return open_far_replay(config.store, config.store_schema)


def show(
    asked: argparse.Namespace, settings: Settings, find: Callable[[], Address]
) -> int:
    """Draw: on the terminal, or one picture."""
    from dataclasses import replace

    with in_haste():
        from penstock_tui.app import Dashboard
        from penstock_tui.picture import size_of, take_picture
        from penstock_tui.theme import THEMES

    if asked.theme:
        if asked.theme not in THEMES:
            raise Refused("--theme", f"{asked.theme!r} is none of {', '.join(THEMES)}")
        settings = replace(settings, theme=asked.theme)
    app = Dashboard(
        find=None if asked.log else find,
        replay=_replay_of(asked.log) if asked.log else None,
        settings=settings,
        read_only=asked.read_only,
        opens=None if asked.screenshot else asked.run,
    )
    if asked.screenshot:
        take_picture(app, asked.screenshot, size_of(asked.size), run_id=asked.run)
        return 0
    # Something that draws elsewhere, as in a browser, has said so to Textual.
    elsewhere = bool(os.environ.get("TEXTUAL_DRIVER"))
    if not elsewhere and not on_terminal():
        return _fail(
            "this is no terminal; --screenshot FILE.svg draws a picture", USAGE
        )
    if not elsewhere and os.environ.get("TERM", "") in NO_SCREENS:
        return _fail(
            "this terminal (TERM) has no cursor that a screen could be drawn with;"
            " `penstock list` and `penstock follow` print lines",
            USAGE,
        )
    app.run()
    # What draws elsewhere reads stdout in a form of its own.
    if app.return_code == 0 and not elsewhere and (said := app.farewell()):
        sys.stdout.write(f"penstock tui: {neutralise(said)}\n")
    return app.return_code or 0


if __name__ == "__main__":
    main()
