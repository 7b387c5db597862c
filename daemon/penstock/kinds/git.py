"""Git on strangers' repositories: nothing of theirs is run, and nobody is asked.

Their hooks, file system monitors, filters and transports could run programs, so git is told to use
none of them, reads no configuration of the user or the machine, and may speak only the one
transport that was asked for. Git's environment variable wins over whatever a repository's own
configuration allows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from penstock.pipeline import Executed, NotAvailable, Run

#: How git may reach a repository.
Transport = Literal["https", "ssh", "file"]

_SAFE = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "protocol.ext.allow=never",
    # A tree of another user is only read, and nothing of it can run: see above.
    "-c", "safe.directory=*",
)  # fmt: skip

#: The newest commit alone, and nothing that could bring a program.
SHALLOW_CLONE = (
    "clone", "--depth", "1", "--no-tags", "--single-branch", "--no-recurse-submodules",
    # A template could bring hooks; an empty one brings nothing.
    "--template=", "--quiet",
)  # fmt: skip

_INHERITED = (
    "PATH", "HOME", "USER", "SSH_AUTH_SOCK", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy",
    "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip

# What a supervisor, like a shell, answers for a program that is not there.
_NOT_FOUND = 127


async def run_git(
    run: Run, *words: str, transport: Transport | None, capture: bool = False
) -> Executed:
    """Run git as a process of the run, and return how it ended. NotAvailable without git.

    `transport` is the only one it may speak; None: none. Its words go to the run's log.
    """
    ended = await run.exec(
        ["git", *_SAFE, *words],
        env=git_environment(transport, {**os.environ, **await run.environ()}),
        # What else a caller has set (GIT_DIR, where a hook of git submits) is about another tree.
        clean=True,
        check=False,
        capture=capture,
    )
    if ended.exit_code == _NOT_FOUND:
        raise NotAvailable("git is not installed, and repositories need it")
    return ended


async def git_script_environment(run: Run) -> dict[str, str]:
    """For a script that calls git several times: what `run_git` tells it, and who commits.

    It may speak to repositories of this machine alone.
    """
    told = (*_SAFE[1::2], *_SCRIPTS)
    config = [word.partition("=")[::2] for word in told]
    counted = {"GIT_CONFIG_COUNT": str(len(config))}
    for number, (name, value) in enumerate(config):
        counted |= {
            f"GIT_CONFIG_KEY_{number}": name,
            f"GIT_CONFIG_VALUE_{number}": value,
        }
    environ = {**os.environ, **await run.environ()}
    return {**git_environment("file", environ), **_AUTHOR, **counted}


_SCRIPTS = (
    "commit.gpgSign=false",
    "core.quotePath=false",
    "advice.detachedHead=false",
    "gc.auto=0",
)
_AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Penstock"), ("EMAIL", "penstock@localhost"))
}


def git_environment(
    transport: Transport | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """All that git is told besides its arguments; only `transport` may be spoken, none if None.

    Of `environ` it keeps what finding programs, keys and the network's proxy needs.
    """
    return {name: environ[name] for name in _INHERITED if name in environ} | {
        "GIT_ALLOW_PROTOCOL": transport or "none",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        # Listing must not refresh the index: the tree is read and never written.
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
