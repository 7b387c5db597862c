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
    for name, value in passed.items():
        if not _is_text(name + value):
            raise Refused("--env", f"the value of {name!r} is not UTF-8; set another")
    return passed


def _is_text(value: str) -> bool:
    """Whether it can be sent; bytes that are no text became halves of surrogate pairs."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
