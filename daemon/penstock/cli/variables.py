"""The variables that a command line gives to programs: by name, by value, or from a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from penstock.words.errors import Refused
from penstock.words.plain_files import read_plain, reason_of

_LINE = re.compile(r"(?:export\s+)?(?P<name>[^\s=#'\"]+)(?:\s*=\s*(?P<value>.*))?")
#: What stands in quotes, and perhaps a comment behind it.
_QUOTED = re.compile(r"(?P<quote>['\"])(?P<text>.*?)(?P=quote)\s*(?:#.*)?")


def wanted_variables(
    environ: Mapping[str, str], wanted: Iterable[str], files: Iterable[str] = ()
) -> dict[str, str]:
    """What is asked for by `--env NAME` or `--env NAME=VALUE`, and by the lines of `--env-file FILE`.

    `--env` goes before a file, and a later file before an earlier one. Refused if a name is not set here,
    or a file is none.
    """
    passed: dict[str, str] = {}
    for file in files:
        passed |= _read(file, environ)
    for text in wanted:
        name, given, value = text.partition("=")
        if not name:
            raise Refused("--env", "has no name before its =")
        if not given and name not in environ:
            raise Refused("--env", f"{name} is not set here; write {name}=VALUE")
        passed[name] = value if given else environ[name]
    for name, value in passed.items():
        if not _is_text(name + value):
            raise Refused("--env", f"the value of {name!r} is not UTF-8; set another")
    return passed


def _read(file: str, environ: Mapping[str, str]) -> dict[str, str]:
    try:
        text = read_plain(Path(file), pipe=True)
    except (OSError, ValueError) as error:
        raise Refused("--env-file", f"{file}: {reason_of(error)}") from None
    return dict(_variables(file, text, environ))


def _variables(
    file: str, text: str, environ: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Lines as `docker run --env-file` and most shells read them: `NAME=VALUE`, or `NAME` as it is here.

    `export` may stand before it, and quotes around the value; nothing is put in for `$`.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            # The line may hold a secret.
            why = f"line {number} of {file} is not NAME=VALUE"
            raise Refused("--env-file", why)
        name, value = found["name"], found["value"]
        if value is None:
            if name in environ:
                yield name, environ[name]
            continue
        quoted = _QUOTED.fullmatch(value)
        yield name, value if quoted is None else quoted["text"]


def _is_text(value: str) -> bool:
    """Whether it can be sent; bytes that are no text became halves of surrogate pairs."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
