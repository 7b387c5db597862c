"""What the first word after `run` and `submit` means: a kind, a preset or a program, in this order.

`--` before it always means a program.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from penstock.cli.output import say
from penstock.words.durations import parse_span
from penstock.words.errors import Refused
from penstock.words.exit_codes import PROGRAM_KIND, Exit
from penstock.words.near_words import did_you_mean
from penstock.words.plain_files import read_plain, reason_of

#: Kinds come by this group of entry points; the built-in ones too.
ENTRY_POINTS = "penstock.pipelines"
#: The file of presets, looked for from the caller's folder upwards.
PRESET_FILE = ".penstock.toml"
_KEYS = frozenset({"run", "cwd", "group", "priority", "timeout", "name", "labels", "env", "env_file", "tty", "retries", "backoff"})  # fmt: skip
#: Options of which the command line adds to what a preset says.
ADDED = ("labels", "env", "env_file")


@dataclass(frozen=True, slots=True)
class Preset:
    """What a name stands for. `file` is where it is written; it works in that folder unless `cwd` is another."""

    name: str
    file: Path
    values: Mapping[str, Any]

    @property
    def cwd(self) -> str:
        """The folder in which it works."""
        return os.path.normpath(self.file.parent / str(self.values.get("cwd", ".")))

    def inputs(self, arguments: Sequence[str]) -> dict[str, Any]:
        """The program with these arguments behind it. Refused names the key that does not fit."""
        run = self.values.get("run")
        if isinstance(run, list) and run and all(isinstance(w, str) for w in run):
            return {"argv": [*run, *arguments]}
        if not (isinstance(run, str) and run.strip()):
            raise self._refused("run", "must be a line for /bin/sh or a list of words")
        return {"shell": " ".join([run, *map(shlex.quote, arguments)])}

    def flags(self) -> dict[str, Any]:
        """What it says besides, by the names of the options of `run`."""
        flags: dict[str, Any] = {}
        for key in ("group", "priority", "name"):
            if (value := self.values.get(key)) is not None:
                if not isinstance(value, str):
                    raise self._refused(key, "must be a text")
                flags["run_name" if key == "name" else key] = value
        for key in ("timeout", "backoff"):
            if (span := self.values.get(key)) is not None:
                try:
                    flags[key] = parse_span(str(span))
                except ValueError as error:
                    raise self._refused(key, str(error)) from None
        if (retries := self.values.get("retries")) is not None:
            if type(retries) is not int or retries < 0:
                raise self._refused("retries", "must be a number, 0 or more")
            flags["retries"] = retries
        flags["env_file"] = self._env_files()
        for key in ("labels", "env"):
            table = self.values.get(key, {})
            if not isinstance(table, dict):
                raise self._refused(key, "must be a table of texts")
            flags[key] = tuple(f"{name}={value}" for name, value in table.items())
        return flags

    def _env_files(self) -> tuple[str, ...]:
        said = self.values.get("env_file", [])
        files = [said] if isinstance(said, str) else said
        if not (isinstance(files, list) and all(isinstance(f, str) for f in files)):
            raise self._refused("env_file", "must be a file, or a list of files")
        return tuple(str(self.file.parent / Path(file).expanduser()) for file in files)

    def _refused(self, key: str, why: str) -> Refused:
        return Refused(f"presets.{self.name}.{key}", f"{why} ({self.file})")


def is_kind(name: str) -> bool:
    """Whether an installed package has a kind of this name; none is imported."""
    return name == PROGRAM_KIND or name in kind_names()


def kind_names() -> set[str]:
    """The kinds of installed packages."""
    return entry_names(ENTRY_POINTS)


def entry_names(group: str) -> set[str]:
    """What installed packages have in this group of entry points.

    Read from their files: the library for it takes longer than a program's own verb does all else.
    """
    names: set[str] = set()
    for folder in sys.path:
        for file in _entry_files(folder):
            names.update(_names_in(file, group))
    return names


def _entry_files(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")):
                    yield os.path.join(entry.path, "entry_points.txt")
    except OSError:
        return


def _names_in(file: str, group: str) -> Iterator[str]:
    try:
        with open(file, encoding="utf-8") as lines:
            text = lines.read()
    except (OSError, UnicodeDecodeError):
        return
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip(" []")
        elif section == group and "=" in line:
            yield line.partition("=")[0].strip()


def find_presets() -> dict[str, Preset]:
    """The presets of the nearest file, from the caller's folder upwards. Refused if it cannot be read."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return {}
    for folder in (here, *here.parents):
        file = folder / PRESET_FILE
        if file.is_file():
            return _read_presets(file)
    return {}


def _read_presets(file: Path) -> dict[str, Preset]:
    from penstock.words.toml_text import parse_toml

    try:
        told = parse_toml(read_plain(file)).get("presets", {})
    except (OSError, ValueError) as error:
        raise Refused(str(file), f"cannot be read: {reason_of(error)}") from None
    if not (isinstance(told, dict) and all(isinstance(v, dict) for v in told.values())):
        raise Refused(str(file), "has no tables [presets.NAME]")
    for name, values in told.items():
        if unknown := sorted(values.keys() - _KEYS):
            known = ", ".join(sorted(_KEYS))
            why = f"is no key of a preset; the keys are {known} ({file})"
            raise Refused(f"presets.{name}.{unknown[0]}", why)
    return {name: Preset(name, file, values) for name, values in told.items()}


def find_program(name: str, environ: Mapping[str, str]) -> str | None:
    """The program that this word starts, as a shell would find it."""
    if "/" in name:
        return name
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder or ".", name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def choose_preset(word: str, environ: Mapping[str, str]) -> Preset | None:
    """The preset that a word means, or None if it means a program; Exit 127 if it means neither."""
    presets = find_presets()
    program = find_program(word, environ)
    if (preset := presets.get(word)) is not None:
        if program is not None:
            say(f"{word} is the preset of {preset.file}; `-- {word}` is the program")
        return preset
    if program is None:
        say(
            f"there is no kind, preset or program {word!r}{_near(word, presets, environ)}"
        )
        raise click.exceptions.Exit(Exit.NO_PROGRAM)
    return None


def tell_hidden(kind: str, environ: Mapping[str, str]) -> None:
    """Say so if the kind that was named hides a preset or a program of its name."""
    hidden = (
        "preset" if kind in find_presets()
        else "program" if find_program(kind, environ) is not None
        else None
    )  # fmt: skip
    if hidden == "program":
        say(f"{kind} is the kind; `-- {kind}` is the program")
    elif hidden:
        say(f"{kind} is the kind, not the preset of that name")


def _near(word: str, presets: Mapping[str, Preset], environ: Mapping[str, str]) -> str:
    """What may have been meant; all programs are listed for it, since nothing else is to be done."""
    names = {*kind_names(), *presets}
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        try:
            names.update(os.listdir(folder or "."))
        except OSError:
            continue
    # A box has thousands of programs; who mistypes one mostly has its first letter right.
    first = sorted(names, key=lambda name: (name[:1] != word[:1], name))
    return did_you_mean(word, first)
