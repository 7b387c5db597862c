"""`penstock open`: the daemon's page in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import click

from penstock.cli.offers import offer_runs
from penstock.cli.output import emit, say, show_line
from penstock.cli.session import Session, json_option, pass_session


@click.command("open")
@click.argument("word", metavar="[ID]", required=False, shell_complete=offer_runs)
@click.option("--print", "-p", "only_print", is_flag=True, help="Start no browser.")
@json_option
@pass_session
def open_(session: Session, word: str | None, only_print: bool, as_json: bool) -> None:
    """The daemon's page in a browser: the list, or one run, live.

    The address is good once, and for a minute. Where no browser can be started it is printed.

    Example: penstock open 12
    """
    run_id = None
    if word is not None:
        from penstock.cli.selecting import select_one

        chosen = select_one(session, word)
        # Whoever means no run is told here, and not by a page.
        run_id = session.call(lambda client: client.run(chosen))["run_id"]
    reply = session.call(lambda client: client.page_code())
    if run_id is not None:
        reply["url"] += f"&run={quote(run_id, safe='')}"
    if as_json:
        emit(reply)
    elif only_print or not _start_browser(reply["url"], session.environ):
        show_line(reply["url"])
        say(f"good once, for {reply['seconds']:.0f} s")


def _start_browser(url: str, environ: Mapping[str, str]) -> bool:
    """Whether a browser was started. One of the terminal is not: it cannot show the page."""
    if not any(environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")):
        return False
    import webbrowser

    return webbrowser.open(url)
