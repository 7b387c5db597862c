"""Children that /proc hides from the daemon: `hidden.py METHOD`; a line of JSON each.

The daemon is a user's, /proc is mounted with hidepid, and the run starts programs that are setuid root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from contained.escapes import DRIVER, alone
from contained.victim import HIDDEN, SETUID

USER = "4242"
# It may read the checkout wherever that lies; /proc hides all the same what is not its own.
AS_USER = [
    "setpriv",
    f"--reuid={USER}",
    f"--regid={USER}",
    "--clear-groups",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
]


def prepare() -> None:
    """Programs of root's that everybody may run, and a /proc that tells nobody of others."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", SETUID], check=True)
    for name in ("sleep", "setpriv"):
        program = shutil.which(name)
        assert program is not None
        copy = Path(shutil.copy(program, SETUID))
        copy.chmod(0o4755)
    subprocess.run(["mount", "-o", "remount,hidepid=2", "/proc"], check=True)


def one(method: str, kind: str) -> dict[str, Any]:
    """What a cancel of one run proves, and whether it is true."""
    driver = subprocess.run(
        [
            *AS_USER,
            sys.executable,
            DRIVER,
            method,
            kind,
            f"mark-{kind}",
            "cancel",
            "pipe",
            "forked",
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    proof = json.loads(driver.stdout.splitlines()[-1])
    return {"kind": kind, "alone": alone(), "proof": proof}


if __name__ == "__main__":
    assert os.environ.get("CONTAINED") == "1", "only inside the enclosure"
    assert os.getpid() < 10, "only in a PID namespace of its own"
    prepare()
    for each in HIDDEN:
        print(json.dumps(one(sys.argv[1], each)), flush=True)
