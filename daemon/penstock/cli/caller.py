"""What a run gets of its caller: the folder, and a few values of the environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from penstock.words.errors import Refused
from penstock.words.inherited import passed_on


def caller_environment(
    environ: Mapping[str, str], wanted: Iterable[str]
) -> dict[str, str]:
    """The allow-listed values, and those asked for by `--env NAME` or `--env NAME=VALUE`.

    Refused if a name alone is not set here.
    """
    passed = passed_on(environ)
    for text in wanted:
        name, given, value = text.partition("=")
        if not name:
            raise Refused("--env", f"{text!r} has no name")
        if not given and name not in environ:
            raise Refused("--env", f"{name} is not set here; write {name}=VALUE")
        passed[name] = value if given else environ[name]
    return passed
