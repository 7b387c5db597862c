"""The user's service manager, asked through `systemctl --user`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from penstock.words.errors import NotAvailable

#: Seconds a start or a stop may take; the unit's own limits are shorter.
SYSTEMCTL_SECONDS = 120.0

_WITHOUT = "run `penstock serve` in a terminal, or under a supervisor of yours"


def systemctl(*args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Ask the manager. NotAvailable says why it does not answer, or what it refused."""
    program = shutil.which("systemctl")
    if program is None:
        raise NotAvailable(f"there is no systemd here; {_WITHOUT}")
    try:
        done = subprocess.run(
            [program, "--user", "--no-pager", *args],
            capture_output=True,
            text=True,
            timeout=SYSTEMCTL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"`systemctl --user {args[0]}` does not end in {SYSTEMCTL_SECONDS:.0f} s"
        raise NotAvailable(f"{why}; `penstock service status` tells what the daemon does") from None  # fmt: skip
    except OSError as error:
        # It is broken, or the box grants no further process.
        raise NotAvailable(f"{program} cannot be started: {error.strerror}") from None
    if check and done.returncode:
        raise NotAvailable(done.stderr.strip() or f"`systemctl {args[0]}` failed")
    return done


def require_manager() -> None:
    """NotAvailable unless a service manager answers for this user."""
    state = systemctl("is-system-running", check=False)
    # "degraded" answers too; without a manager it says "offline", or complains.
    if state.stdout.strip() in {"", "offline", "unknown"}:
        why = state.stderr.strip().split("\n")[0] or "it is offline"
        raise NotAvailable(
            f"systemd does not serve this user ({why}); log in directly instead of by su or "
            f"sudo, or {_WITHOUT}"
        )


def show_unit(unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit; one that does not exist has LoadState=not-found."""
    done = systemctl("show", unit, f"--property={','.join(names)}")
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines() if line)


def lingers(environ: Mapping[str, str]) -> bool:
    """Whether the user's services run while he is not logged in."""
    user = environ.get("USER") or environ.get("LOGNAME") or str(os.geteuid())
    return (Path("/var/lib/systemd/linger") / user).exists()
