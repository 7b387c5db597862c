"""What the build files of many languages say of a package, read as text: none of them is ever run.

Each reader gives name, summary, what it requires and its home; "" is what is not said. Every pattern
stands at the beginning of a line and takes a bounded stretch, so reading is linear.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

#: Name, summary, what is required, home.
Said = tuple[str, str, str, str]

_CMAKE = re.compile(r"^[ \t]{0,20}project[ \t]{0,9}\(\s{0,99}\"?([A-Za-z][\w.+-]{0,99})\"?([^()]{0,600})", re.MULTILINE | re.IGNORECASE)  # fmt: skip
_CMAKE_WORDS = re.compile(r"\bDESCRIPTION\s{1,9}\"([^\"]{1,400})\"", re.IGNORECASE)
_CMAKE_HOME = re.compile(r"\bHOMEPAGE_URL\s{1,9}\"([^\"]{1,400})\"", re.IGNORECASE)
_GEMSPEC = re.compile(r"^[ \t]{0,20}\w{1,20}\.(name|summary|description|homepage|required_ruby_version)[ \t]{0,40}=[ \t]{0,9}(?:\"([^\"\n]{1,400})\"|'([^'\n]{1,400})'|%q?\{([^{}\n]{1,400})\}|%q?\(([^()\n]{1,400})\)|%q?\[([^\[\]\n]{1,400})\])", re.MULTILINE | re.IGNORECASE)  # fmt: skip
_OPAM = re.compile(r"^(name|synopsis|homepage)[ \t]{0,9}:[ \t]{0,9}\"([^\"\n]{1,400})\"", re.MULTILINE)  # fmt: skip
_DUNE = re.compile(r"\((name|synopsis|homepage)[ \t\n]{1,9}\"?([^()\"\n]{1,400})\"?\)")
_MIX = re.compile(r"\b(app|description|name|elixir|homepage_url|source_url):[ \t]{0,9}(?::(\w{1,99})|\"([^\"\n]{1,400})\")", re.MULTILINE)  # fmt: skip
_MIX_CONSTANT = re.compile(r"^[ \t]{0,20}@(description)[ \t]{1,9}\"([^\"\n]{1,400})\"", re.MULTILINE)  # fmt: skip
_SWIFT = re.compile(r"\bPackage\(\s{0,99}name:\s{0,9}\"([^\"\n]{1,99})\"")
_CABAL = re.compile(r"^(name|synopsis|homepage)[ \t]{0,9}:[ \t]{0,40}\n?[ \t]{0,40}(\S[^\n]{0,400})", re.MULTILINE | re.IGNORECASE)  # fmt: skip
_AUTOCONF = re.compile(r"^AC_INIT\(\s{0,9}\[?([A-Za-z][\w.+-]{0,99})", re.MULTILINE)
_ELISP = re.compile(r"\A;;;?[ \t]{1,9}([\w+.-]{1,99})\.el[ \t]{1,9}---?[ \t]{1,9}([^\n]{1,400}+)")  # fmt: skip
_MODELINE = re.compile(r"-\*-.{0,300}")
_ELISP_HEADER = re.compile(r"^;;[ \t]{1,9}(Homepage|URL|Package-Requires):[ \t]{1,40}([^\n]{1,400})", re.MULTILINE)  # fmt: skip
_EMACS = re.compile(r"\(emacs \"([\d.]{1,20})\"\)")
#: Elements of a pom that stand directly below its root.
_POM_LEVEL = 2


def read_cmake(text: str) -> Said:
    """`project(NAME … DESCRIPTION "…")`; a variable is no name.

    Capitals throughout are a habit of the variables that CMake makes of it, not the package's.
    """
    found = _CMAKE.search(text)
    if found is None:
        return ("", "", "", "")
    words, home = _CMAKE_WORDS.search(found[2]), _CMAKE_HOME.search(found[2])
    name = found[1].lower() if found[1].isupper() else found[1]
    return (name, words[1] if words else "", "", home[1] if home else "")


def read_autoconf(text: str) -> Said:
    """`AC_INIT([NAME], …)`."""
    found = _AUTOCONF.search(text)
    return (found[1] if found else "", "", "", "")


def read_gemspec(text: str) -> Said:
    """The plain strings of a gem's specification; the summary before the longer description."""
    said = _firsts([(key, "".join(said)) for key, *said in _GEMSPEC.findall(text)])
    said = {
        key: value
        for key, value in said.items()
        if "#{" not in value and (key != "name" or re.fullmatch(r"[\w.-]+", value))
    }
    ruby = said.get("required_ruby_version", "")
    return (
        said.get("name", ""),
        said.get("summary", "") or said.get("description", ""),
        f"Ruby {ruby}" if ruby else "",
        said.get("homepage", ""),
    )


def read_mix(text: str) -> Said:
    """The literals of a `mix.exs`."""
    said = _firsts([(key, atom or string) for key, atom, string in _MIX.findall(text)])
    constants = _firsts(_MIX_CONSTANT.findall(text))
    elixir = said.get("elixir", "")
    return (
        said.get("app", "") or said.get("name", ""),
        said.get("description", "") or constants.get("description", ""),
        f"Elixir {elixir}" if elixir else "",
        said.get("homepage_url", "") or said.get("source_url", ""),
    )


def read_swift(text: str) -> Said:
    """`Package(name: "…")`."""
    found = _SWIFT.search(text)
    return (found[1] if found else "", "", "", "")


def read_cabal(text: str) -> Said:
    """The fields before the first section of a `*.cabal`."""
    said = _firsts([(key.lower(), value) for key, value in _CABAL.findall(text)])
    return (
        said.get("name", ""),
        said.get("synopsis", ""),
        "",
        said.get("homepage", ""),
    )


def read_opam(text: str) -> Said:
    """The fields of a `*.opam`, which is mostly called after the package."""
    said = _firsts(_OPAM.findall(text))
    return (said.get("name", ""), said.get("synopsis", ""), "", said.get("homepage", ""))  # fmt: skip


def read_dune(text: str) -> Said:
    """The first of each field of a `dune-project`."""
    said = _firsts(_DUNE.findall(text))
    return (said.get("name", ""), said.get("synopsis", ""), "", said.get("homepage", ""))  # fmt: skip


def read_elisp(text: str) -> Said:
    """`;;; name.el --- sentence`, as the Emacs library headers say."""
    found = _ELISP.match(text)
    if found is None:
        return ("", "", "", "")
    headers = _firsts(_ELISP_HEADER.findall(text[:8192]))
    emacs = _EMACS.search(headers.get("Package-Requires", ""))
    return (
        found[1],
        _MODELINE.sub("", found[2]).strip(),
        f"Emacs {emacs[1]}" if emacs else "",
        headers.get("Homepage", "") or headers.get("URL", ""),
    )


def read_composer(text: str) -> Said:
    """`composer.json`; of `vendor/name` the name."""
    data = _object(text)
    php = _text(data.get("require"), "php")
    return (
        _text(data, "name").rpartition("/")[2],
        _text(data, "description"),
        f"PHP {php}" if php else "",
        _text(data, "homepage"),
    )


def read_perl(text: str) -> Said:
    """`META.json` of a Perl distribution."""
    data = _object(text)
    home = _text(data.get("resources"), "homepage")
    return (_text(data, "name"), _text(data, "abstract"), "", home)


def read_pom(text: str) -> Said:
    """The elements below the root of a `pom.xml`; no entity is resolved, and a `${…}` says nothing."""
    # Most trees have none: see `metadata`.
    from xml.parsers import expat

    said: dict[str, str] = {}
    stack: list[str] = []

    def start(name: str, _attributes: object) -> None:
        stack.append(name)

    def end(_name: str) -> None:
        stack.pop()

    def take(data: str) -> None:
        if len(stack) == _POM_LEVEL:
            said[stack[1]] = said.get(stack[1], "") + data

    def refuse(*_declared: object) -> None:
        raise ValueError("a pom declares no entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = take
    parser.EntityDeclHandler = refuse
    # What came before the fault, or before the end of what is read of a long one, is said.
    with suppress(expat.ExpatError):
        parser.Parse(text, True)
    plain = {key: " ".join(value.split()) for key, value in said.items()}
    plain = {key: value for key, value in plain.items() if "${" not in value}
    return (
        plain.get("name", "") or plain.get("artifactId", ""),
        plain.get("description", ""),
        "",
        plain.get("url", ""),
    )


#: By the name of a file at the root, most trusted first.
BY_NAME: dict[str, Callable[[str], Said]] = {
    "composer.json": read_composer,
    "pom.xml": read_pom,
    "mix.exs": read_mix,
    "Package.swift": read_swift,
    "META.json": read_perl,
    "dune-project": read_dune,
}
#: By the ending of one at the root.
BY_ENDING: dict[str, Callable[[str], Said]] = {
    ".gemspec": read_gemspec,
    ".cabal": read_cabal,
    ".opam": read_opam,
    ".el": read_elisp,
}
#: Trees of other languages are built by these as well, so they are asked last.
LAST: dict[str, Callable[[str], Said]] = {
    "CMakeLists.txt": read_cmake,
    "configure.ac": read_autoconf,
}


def _firsts(pairs: list[Any]) -> dict[str, str]:
    said: dict[str, str] = {}
    for key, value in pairs:
        said.setdefault(key, value.strip())
    return said


def _object(text: str) -> Mapping[str, Any]:
    data = json.loads(text)
    return data if isinstance(data, dict) else {}


def _text(data: object, key: str) -> str:
    value = data.get(key) if isinstance(data, Mapping) else None
    return value if isinstance(value, str) else ""
