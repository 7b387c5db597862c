"""`penstock send`: say something to a run's program, on its standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from penstock.cli.forwarding import is_piped, read_pieces
from penstock.cli.options import named_run_argument
from penstock.cli.output import emit, say
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.exit_codes import Exit


@click.command()
@named_run_argument
@click.argument("text", required=False)
@click.option("--eof", is_flag=True, help="Its input ends with this.")
@click.option(
    "-n", "--no-newline", is_flag=True, help="Send TEXT as it is, and no line."
)
@json_option
@pass_session
@click.pass_context
def send(
    ctx: click.Context,
    session: Session,
    run_id: str,
    text: str | None,
    eof: bool,
    no_newline: bool,
    as_json: bool,
) -> None:
    """Send a line to a run's program, or standard input if there is no TEXT.

    The run takes it if it was submitted with `stdin` "open"; what is sent is not recorded. Waits until
    the program has begun, and while it does not read.

    Example: penstock send build-1 yes
    """
    if text is None:
        pieces = read_pieces() if is_piped() or not eof else iter(())
    else:
        pieces = iter([os.fsencode(text if no_newline else f"{text}\n")])
    sent: list[int] = []
    reply = session.call(
        lambda client: client.send_stdin(run_id, _counted(pieces, sent), eof=eof)
    )
    if as_json:
        emit(reply)
    if reply["bytes"] < sum(sent):
        say(f"the program of {run_id} reads no more")
        ctx.exit(Exit.RUN_FAILED)


def _counted(pieces: Iterator[bytes], sent: list[int]) -> Iterator[bytes]:
    for piece in pieces:
        sent.append(len(piece))
        yield piece
