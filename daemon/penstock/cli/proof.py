"""A cancel put to the test on this box: a loop whose turn will not go, and what is left of it.

What containment can promise depends on the box: cgroups, who is whose parent, what /proc shows. The
proof uses the daemon that runs, since it is that daemon's containment which counts, and one of its own
where there is none. It looks for what is left by itself, and does not take the receipt's word.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.cli.checks import CheckResult, Findings
from penstock.cli.open_daemon import open_daemon_for
from penstock.cli.relay import Relay, carry
from penstock.cli.session import Session
from penstock.client.followed_log import FollowedLog
from penstock.client.sync import SyncClient
from penstock.words.cancel_receipt import proves_end
from penstock.words.errors import PenstockError
from penstock.words.printed import ShownFact

#: Seconds in which the turn has begun; a queue that is full or paused makes it wait longer.
START_SECONDS = 30.0
#: Says that it is there and will not go, with a child that has left its session. The last word is
#: the mark by which all of them are found.
_STUBBORN = (
    'trap "" TERM; setsid sh -c \'trap "" TERM; while :; do sleep 1; done\' "$0" & '
    "echo ready; while :; do sleep 1; done"
)


def prove_cancel(session: Session) -> Findings:
    """One finding: how long a parent's stubborn child outlived the cancel, and that nothing is left."""
    mark = f"penstock-proof-{secrets.token_hex(6)}"
    try:
        receipt = _cancelled(session, mark)
    except PenstockError as error:
        yield CheckResult("cancel", "failure", str(error), "see why, and try again")
        return
    yield finding_of(receipt, sorted(marked(mark)))


def finding_of(receipt: Mapping[str, Any], left: Sequence[int]) -> CheckResult:
    """What a receipt and the pids that are left say together; the pids have the last word."""
    if left:
        pids = " ".join(map(str, left))
        found = f"{len(left)} processes outlived their cancel: {pids}"
        return CheckResult("cancel", "failure", found, f"`kill -9 {pids}`")
    if not proves_end(receipt):
        found = f"nothing is left, but that is not proven (by {receipt['method']})"
        return CheckResult("cancel", "warning", found, "see the line on containment")
    found = (
        f"a loop and its stubborn turn were cancelled, proven by {receipt['method']}"
    )
    return CheckResult("cancel", "ok", f"{found}: nothing is left")


def _cancelled(session: Session, mark: str) -> dict[str, Any]:
    """The receipt of a loop that was cancelled while its turn would not go."""
    turn = {"argv": ["/bin/sh", "-c", _STUBBORN, mark], "cwd": "/"}
    act = {"kind": "command", "inputs": turn}
    request = {"kind": "loop", "run_id": mark, "inputs": {"until": "false", "act": act}}
    with open_daemon_for(session, request) as client:
        run = client.submit(request)
        run_id = run["run_id"]
        try:
            began = _begins(client, run_id, after=run["position"])
        finally:
            # Whatever went wrong, nothing of it may stay.
            receipt = client.cancel(run_id, "the proof", wait=True)
        if not began:
            why = client.why(run_id)["text"]
            raise PenstockError(f"the proof did not begin in time: {why}")
        return receipt


def _begins(client: SyncClient, run_id: str, after: int) -> bool:
    """Wait until the turn says that it is there: whether it did in time."""
    turn = _Turn(run_id)
    log = FollowedLog(client, after=after)
    give_up = time.monotonic() + START_SECONDS
    try:
        carry([Relay(log, turn)], lambda _: turn.is_there, give_up)
    finally:
        log.close()
    return turn.is_there


@dataclass
class _Turn:
    """Takes facts, and notes that a run below this one says that it is there."""

    below: str
    is_there: bool = False

    def write(self, facts: Iterable[ShownFact]) -> None:
        for fact in facts:
            said = getattr(fact.event, "text", "")
            if fact.run_id.startswith(self.below) and "ready" in said:
                self.is_there = True

    def end_line(self) -> None:
        """See `FactWriter`: nothing is written."""


def marked(mark: str) -> Iterator[int]:
    """The pids of processes that carry the mark, as far as /proc shows them."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if mark.encode() in (folder / "cmdline").read_bytes():
                yield int(folder.name)
        except OSError:
            continue
