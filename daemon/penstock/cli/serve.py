"""`penstock serve`: the daemon, in the foreground."""

from __future__ import annotations

import faulthandler
import logging
import os
from pathlib import Path
from typing import Any

import click

from penstock.cli.session import Session, pass_session, run_async
from penstock.words.errors import PenstockError


@click.command()
@click.option("--host", help="Listen on this address.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="And this port.  [default: 9876]"
)
@click.option("--no-auth", is_flag=True, help="Ask for no token; on loopback only.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Keep the log here.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["text", "json"]))
@click.option("--log-json", is_flag=True, help="As --log-format json.")
@pass_session
def serve(session: Session, /, no_auth: bool, log_json: bool, **flags: Any) -> None:
    """Run the daemon in the foreground until SIGTERM, a hang-up or Ctrl-C."""
    from penstock.cli.daemon_log import open_log_writer
    from penstock.service.daemon import serve as serve_daemon
    from penstock.service.systemd import take_supervision

    supervision = take_supervision(os.environ)
    flags |= {
        "auth": False if no_auth else None,
    }
    if log_json:
        flags["log_format"] = "json"
    config, _ = session.config(flags)
    # The manager's watchdog ends a hung daemon by SIGABRT: its stacks are then the last of its log.
    faulthandler.enable()
    with open_log_writer(config, session.environ) as writer:
        try:
            run_async(
                lambda: serve_daemon(config, log_writer=writer, supervision=supervision)
            )
        except PenstockError:
            raise
        except Exception:
            # The sentence at the end is for a person; whoever mends it reads the log.
            logging.getLogger("penstock").critical("not foreseen", exc_info=True)
            raise
