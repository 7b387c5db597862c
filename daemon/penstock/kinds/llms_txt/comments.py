"""What a source file says it is for, by the convention of its language; "" where it says nothing.

A file says so in the comment that stands before its code: after magic comments, licence, package and
imports. A comment that is tied to something else than the file (the first function of a C file)
is about that. No note is better than a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from penstock.kinds.llms_txt.markup import first_sentence, strip_markup

#: Characters and lines of a file's beginning in which it says what it is for.
LOOKED_AT = 16 * 1024
# Of what has a form of its own, which is found at once.
_DOCUMENTED_WITHIN = 64 * 1024
_MOST_LINES = 400
_FEWEST_WORDS = 3
# Characters of a module's own documentation, and modules of one file.
_MOST_DOC = 4000
_MOST_MODULES = 8

_WORDS = re.compile(r"[^\W\d_]{2,}")
LEGAL = re.compile(
    r"copyright|©|licen[cs]ed?\b|licen[cs]ee|spdx|all rights reserved|\(c\) \d{4}|permission (is|to)\b|redistribution"
    r"|warrant(y|ies)\b|this (file|program|source) is (part|free|distributed|subject)|see the (notice|authors)"
    r"|(released|distributed|available) under|without limitation|full copyright|you (may|should) (not )?(use|have received|obtain)"
    r"|gnu (lesser |library )?general public|mozilla public|public domain",
    re.IGNORECASE,
)  # fmt: skip
_SEE_TERMS = re.compile(r"see (the )?(accompanying |file )?(copyright|licen[cs]e|notice|copying)", re.IGNORECASE)  # fmt: skip
#: Words to a tool, and lines that only name who and when.
_MAGIC = re.compile(
    r"-\*-|\bvi(m|): ?set?\b|\bvim?:|(es|ts|js|css|style|swift)(lint|hint)\b|@ts-|go:(build|generate|embed)|^\+build\b|coding[:=]"
    r"|usr/bin|\bgenerated (by|from)|do not edit|@(generated|flow|format|jsx\w*|license|preserve|noflow|jest-environment)\b"
    r"|frozen_string_literal|warn_indent|encoding:|rubocop|\bnoqa\b|pylint|mypy:|type: ignore|nolint|clang-format|istanbul|prettier"
    r"|phpcs|phpstan|psalm|shellcheck|sourcemappingurl|^global(s)?\b|^\$id|^<reference\b|^/ <reference|^region\b|^endregion\b|^pragma\b"
    r"|^(todo|fixme|xxx|hack)\b|^(author|created|date|version|maintainer|keywords|url|homepage|package-requires|since|file(name)?)s?\b ?[:(]"
    r"|^created (by|on)\b|^[@\\](authors?|since|version|see|date|copyright|package|category|link|param|return|todo|deprecated|var|ingroup|addtogroup|defgroup)\b",
    re.IGNORECASE,
)  # fmt: skip
# `name.c - what it does`
_OWN_NAME = re.compile(
    r"^[\w./+-]{1,80}\.\w{1,5}[ \t]{0,9}(?:[-\u2013\u2014]{1,3}|:)[ \t]{1,9}(?=\w)"
)
_ABOUT_FILE = re.compile(r"^[@\\](file\w*|module|brief|doc|description|overview|summary|short|desc|class)\b:?[ \t]*", re.IGNORECASE)  # fmt: skip
_CODE_LIKE = re.compile(r"[;{}]\s*$|^(import|from|#?include|require|const|let|var|use|using|return|if|for|export)\b[^.]*['\"(<{;]|=>|\w\(\)\s*$|^[\w.]+\(.*\)$")  # fmt: skip
_PREAMBLE = re.compile(
    r"package\b|import\b|from\b|use\b|using\b|namespace\b|#|<\?php|['\"]use |declare\b|require|module\b|extern\b|mod\b|\{-#|@|library\b"
    r"|(const|let|var|local)\b[^\n]*\brequire|defmodule\b|-(module|behaviou?r|include|export)|alias\b|no\b|our \$|my \$VERSION|\}|\)|\(ns\b|exports?\.|Object\.defineProperty",
)  # fmt: skip
_NAMES_FILE = re.compile(r"(package|module|defmodule|namespace|library|\(ns)\b")
_OPENS_HEADER = re.compile(r"#[ \t]{0,9}(include|ifndef|pragma once)\b")
# Files of these are named after the one thing in them, so what is said of that is said of the file.
_ONE_THING = frozenset({"java", "kt", "scala", "groovy", "cs", "php", "swift", "rb", "vue", "cls", "dart", "erl", "cr"})  # fmt: skip
_DEFINES = re.compile(
    r"(@|#\[|\[|public|private|internal|protected|open|sealed|final|abstract|static|partial|readonly|data|inline|value|annotation|implicit|fun"
    r"|lazy|case|class|interface|trait|enum|record|struct|object|module|protocol|actor|extension|function|def|typealias|type|extends|mixin|factory|export|<|lib|macro)\b|[@\[#<(]",
)  # fmt: skip
_WEB = frozenset(
    {"js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "vue", "svelte"}
)
_LINE = {
    "hs": "--", "lhs": "--", "lua": "--", "sql": "--", "el": ";", "clj": ";", "cljs": ";", "erl": "%", "hrl": "%",
    "rb": "#", "ex": "#", "exs": "#", "sh": "#", "pl": "#", "pm": "#", "py": "#", "r": "#", "jl": "#", "nim": "#",
    "cr": "#", "ps1": "#", "php": "//", "f90": "!", "m": "//",
}  # fmt: skip
_BLOCKS = {"hs": ("{-", "-}"), "lhs": ("{-", "-}"), "ml": ("(*", "*)"), "mli": ("(*", "*)"), "lua": ("--[[", "]]"), "jl": ('"""', '"""'), "ps1": ("<#", "#>")}  # fmt: skip

_MODULEDOC = re.compile(
    r"@moduledoc[ \t]{1,9}(?:~[sS])?(?:\"\"\"\n|\"([^\"\n]{1,400})\")"
)
# A module that its authors keep out of the documentation.
_HIDDEN = re.compile(r"^[ \t]{0,20}@moduledoc[ \t]{1,9}(?:false|nil)\b", re.MULTILINE)
_POD_NAME = re.compile(r"^=head1[ \t]{1,9}NAME[ \t]{0,9}\n\s{1,99}([^\n]{1,400})", re.MULTILINE)  # fmt: skip
_INNER_DOC = re.compile(r"(?:^[ \t]{0,20}//![^\n]{0,400}\n?){1,40}", re.MULTILINE)
_ELISP = re.compile(r"\A;;;?[ \t]{1,9}\S{1,99}[ \t]{1,9}---?[ \t]{1,9}([^\n]{1,400})")
_MODELINE = re.compile(r"-\*-.{0,300}")
_COMMENTARY = re.compile(r"^;;; Commentary:[ \t]*\n([^\n]{0,400}\n){0,60}", re.MULTILINE)  # fmt: skip
_DECORATION = re.compile(r"^[\s*/;%#!|^-]+|[\s*]*(\*/|-\}|\*\))?\s*$")


def purpose(text: str, ending: str) -> str:
    """The first sentence that says what the file is for; `ending` is that of its name, without a dot."""
    own = _OWN.get(ending)
    if own is not None and (said := own(text[:_DOCUMENTED_WITHIN])):
        return said
    text = text[:LOOKED_AT]
    if _HIDDEN.search(text):
        return ""
    first = True
    for paragraphs, next_line, is_block in _comments(text, ending):
        if any(LEGAL.search(one[:400]) for one in paragraphs[:1]):
            continue
        # A line above an import says why that is there.
        tied = next_line and not is_block and ending in _WEB
        said = "" if tied else _telling(paragraphs)
        if said and _is_about_file(next_line, ending, first=first):
            return said
        first = first and not said
    return ""


def _is_about_file(next_line: str, ending: str, *, first: bool) -> bool:
    """Whether a comment that tells something is about the file, judged by the line tied to it."""
    if not next_line:
        return ending != "go"
    if _NAMES_FILE.match(next_line):
        return True
    if not _PREAMBLE.match(next_line):
        return ending in _ONE_THING and _DEFINES.match(next_line) is not None
    if next_line.startswith("#"):
        return first and _OPENS_HEADER.match(next_line) is not None
    return first and ending != "go"


def _telling(paragraphs: list[str]) -> str:
    """The first sentence of the first paragraph that tells something; behind a licence none does."""
    for paragraph in paragraphs:
        plain = _ABOUT_FILE.sub("", paragraph)
        plain = _OWN_NAME.sub("", strip_markup(plain).strip(" -=*~|:#"))
        if LEGAL.search(plain[:400]):
            return ""
        if (
            " " not in plain
            or len(_WORDS.findall(plain)) < _FEWEST_WORDS
            or _MAGIC.search(plain[:200])
        ):
            continue
        if _CODE_LIKE.search(plain[:400]):
            continue
        return first_sentence(plain)
    return ""


def _comments(text: str, ending: str) -> Iterator[tuple[list[str], str, bool]]:
    """The comments before the code: their paragraphs, the line of code tied to each, if one is, and their form.

    It ends with the first line of code that neither names a package nor imports.
    """
    line_mark = _LINE.get(ending, "//")
    opens, closes = _BLOCKS.get(ending, ("/*", "*/"))
    lines: list[str] = []
    inside = is_block = False
    for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]:
        words = line.strip()
        if inside:
            inside = closes not in words
            lines.append(words.split(closes, 1)[0] if not inside else words)
        elif words.startswith(opens):
            inside = closes not in words[len(opens) :]
            if lines:
                yield _paragraphs(lines), "", is_block
            is_block = True
            lines = [words[len(opens) :].split(closes, 1)[0]]
        elif words.startswith(line_mark) and not (
            ending == "rs" and words.startswith("///")
        ):
            is_block = is_block and bool(lines)
            lines.append(words)
        else:
            if lines:
                yield _paragraphs(lines), words, is_block
                lines = []
            if words and not _PREAMBLE.match(words):
                return
    if lines and not inside:
        yield _paragraphs(lines), "", is_block


def _paragraphs(lines: list[str]) -> list[str]:
    """The paragraphs of a comment, without what decorates its lines; a tag begins one of its own."""
    found: list[list[str]] = [[]]
    for line in lines:
        words = _DECORATION.sub("", line)
        if not words:
            found.append([])
            continue
        if words[0] in "@\\" or _MAGIC.search(words[:200]) or _SEE_TERMS.match(words):
            found.append([])
        found[-1].append(words)
        if _MAGIC.search(words[:200]):
            found.append([])
    return [" ".join(one) for one in found if one]


def _elixir(text: str) -> str:
    """Of several modules in a file the one of which most is said: the others are its errors and protocols."""
    said = [
        found[1] or text[found.end() : found.end() + _MOST_DOC].split('"""', 1)[0]
        for found in islice(_MODULEDOC.finditer(text), _MOST_MODULES)
    ]
    return _telling(re.split(r"\n[ \t]*\n", max(said, key=len, default="")))


def _perl(text: str) -> str:
    """`Name - sentence` below `=head1 NAME`."""
    found = _POD_NAME.search(text)
    _, dash, said = found[1].partition(" - ") if found else ("", "", "")
    return first_sentence(strip_markup(said)) if dash else ""


def _rust(text: str) -> str:
    found = _INNER_DOC.search(text)
    return _telling(_paragraphs(found[0].split("\n"))) if found else ""


def _elisp(text: str) -> str:
    """`;;; name.el --- sentence`, or the first of the commentary."""
    found = _ELISP.match(text)
    if found:
        return first_sentence(_MODELINE.sub("", found[1]).strip())
    commentary = _COMMENTARY.search(text)
    lines = commentary[0].split("\n")[1:] if commentary else []
    return _telling(
        _paragraphs([line for line in lines if line.startswith(";;") or not line])
    )


_OWN: dict[str, Callable[[str], str]] = {
    "ex": _elixir,
    "exs": _elixir,
    "pl": _perl,
    "pm": _perl,
    "rs": _rust,
    "el": _elisp,
}
