"""Which values of an environment a run's processes may see without being asked for."""

from __future__ import annotations

from collections.abc import Mapping

#: What a build expects to find as its user has it. Anything else may be a secret and is named.
PASSED_ON = frozenset({
    "PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TERM", "VIRTUAL_ENV", "SSH_AUTH_SOCK",
})  # fmt: skip
PASSED_ON_PREFIX = "LC_"


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The values that may be passed on."""
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIX)
    }
