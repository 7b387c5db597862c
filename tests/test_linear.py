"""QA-08, ML-04: what strangers write is read in time that grows with its length and no faster.

Measured is CPU time, against one pass over the same text; a quadratic search fails at 64 KiB by a
factor of ten and more, and at 1 MiB by thousands.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kinds.coding.names import names_of
from penstock.kinds.llms_txt.classify import Placed, glance
from penstock.kinds.llms_txt.comments import purpose
from penstock.kinds.llms_txt.describe import describe
from penstock.kinds.llms_txt.formats import quote_file
from penstock.kinds.llms_txt.markup import (
    cut_comments,
    first_sentence,
    harmless,
    one_line,
    strip_markup,
    title_of,
)
from penstock.kinds.llms_txt.mentions import Index, is_made
from penstock.kinds.llms_txt.metadata import read_one
from penstock.kinds.llms_txt.navigation import read_order
from penstock.kinds.llms_txt.outline import Link, read_readme
from penstock.kinds.llms_txt.source_tree import File, decode
from penstock.kinds.llms_txt.standing import compare
from penstock.llm.token_estimate import estimate
from penstock.words.display import plain_text
from penstock.words.text import neutralise
from penstock.words.unified_diff import read_diff
from penstock_tui.prose import Prose

KIB = 1024
#: Passes over a text that a reading may cost: a dozen patterns, or a parser written in Python.
PASSES = 80


def fill(piece: str, head: str = "", tail: str = "") -> Callable[[int], str]:
    """A text of a size, made of one piece."""
    return lambda size: head + piece * (size // len(piece)) + tail


#: Any of these, in any place, once held a search for seconds.
SHAPES = {
    "blanks": fill(" "),
    "blanks and a word": fill(" ", "a", "b"),
    "blanks before an address": fill(" ", "x", "<a"),
    "tabs": fill("\t", "x", "x"),
    "vertical blanks": fill("\x0b", "x", "x"),
    "returns": fill("\r", "x", "x"),
    "newlines": fill("\n", "x", "x"),
    "blank lines": fill(" \n", "x", "x"),
    "wide blanks": fill("\u2003", "x", "x"),
    "tags of blanks": fill("<a" + " " * 400),
    "open tags": fill("<a "),
    "headings of HTML": fill("<h1>"),
    "headings of HTML with blanks": fill("<h1" + " " * 100),
    "comments": fill("<!---->"),
    "open comments": fill("<!--"),
    "images": fill("![" ),
    "links": fill("[a]("),
    "brackets": fill("["),
    "role of blanks": fill(" ", ":ref:`x"),
    "roles": fill(":aa:`" + " " * 300 + "<"),
    "colons": fill(":a"),
    "references of blanks": fill("`" + " " * 300 + "<b>"),
    "backticks": fill("`"),
    "fences": fill("```\n~~~\n"),
    "stars": fill("*a "),
    "underscores": fill("_a b c" + " " * 200),
    "dashes": fill("a-"),
    "rules": fill("=" * 300 + "\n"),
    "titles": fill("x\n==="),
    "front matter": fill(" ", "---\ntitle:", "x" * 400 + "\n---\n"),
    "front matter of quotes": fill("'", "---\ntitle: ", "\n---\n"),
    "hashes": fill("# "),
    "sentences": fill("ab. "),
    "stops": fill(" ."),
    "definitions": fill("export default async "),
    "definition of blanks": fill(" ", "export default pub"),
    "docstring": fill(" \n#\n", "", '"""'),
    "quotes": fill('"'),
    "dots": fill("a."),
    "entities": fill("&amp;"),
    "letters": fill("a"),
    "escapes": fill("\x1b"),
    "open colours": fill("\x1b[1;"),
    "colours": fill("\x1b[31mx\x1b[32my"),
    "returns in a long line": fill("\r\x1b[31mx", "x" * 4096),
    "erased lines": fill("xx\ry\x1b[Kz", "x" * 4096),
    "hunks": fill("@@ -1 +1 @@\n-a\n+b\n"),
    # With names of two words: else it is Python, whose tree has a node for every other character.
    "heads of files": fill("--- a b\n+++ c d\n"),
    "rows of tables": fill("| **a** | `b` |\n"),
    "erased whole": fill("\x1b[2Kx", "x" * 4096),
}  # fmt: skip

#: Any of these is work for a parser of documents, and nothing to others.
WRITTEN = {
    "quotes in quotes": fill("> "),
    "lists in lists": fill("- "),
    "sections": fill("a\n=\n\nb\n-\n\n"),
    "lines of stars": fill("*a " * 300 + "\n"),
    "anonymous targets": fill("__ x\n\n"),
    "tables of lists": fill(".. list-table::\n\n   * - a\n\n"),
    "definitions of terms": fill("a\n  b\n"),
    "open headings": fill("<h1>\n\nx\n\n"),
    "declarations": fill("<!A "),
    "instructions": fill("<?"),
    "open boxes": fill(":::a\n"),
}  # fmt: skip
#: Readers of documents, and of what is read line by line in Python as they are.
FORMS = ("readme", "markdown", "rst", "text", "adoc", "org", "rdoc", "pod", "html", "notebook")  # fmt: skip
LINES = ("setup.cfg", "setup.cfg key", "setup.cfg section", "PKG-INFO", "PKG-INFO lines")  # fmt: skip

#: An llms.txt that is there lists what it likes of a tree.
OUTLINE = {"Docs": tuple(Link(f"d{n}", f"docs/part/{n}.md") for n in range(80))}
ADDRESSES = {
    "deep addresses": fill("[a](http://" + "a/" * 990 + ")\n", "[d](docs/part/1.md)\n"),
    "deep paths": fill("[a](/" + "%41/" * 490 + ")\n"),
    "comments of what is left out": fill("<!-- not listed: a -->\n", "[d](docs/part/1.md)\n"),
    "open comments of the same": fill("<!-- not listed:" + "a " * 9000),
    "open addresses": fill("]("),
}  # fmt: skip

LONG_READERS: dict[str, Callable[[str], object]] = {
    "readme": read_readme,
    "strip_markup": strip_markup,
    "cut_comments": cut_comments,
    "first_sentence": first_sentence,
    "quote": lambda text: quote_file("a", "text", text),
    "estimate": estimate,
    "neutralise": neutralise,
    "plain_text": plain_text,
    "decode": lambda text: decode(text.encode()),
    "prose": lambda text: _prose(text),
    "diff": read_diff,
}


def _prose(text: str) -> object:
    reader = Prose()
    reader.feed(text)
    return reader.lines


def _described(path: str, language: str) -> Callable[[str], object]:
    file = File(path, 1)
    one = Placed(file, "Code", language, (0, 0, 0, 0, path))  # type: ignore[arg-type]
    return lambda text: describe(one, text)


SHORT_READERS: dict[str, Callable[[str], object]] = {
    "one_line": lambda text: one_line(text, 300),
    "title_of": lambda text: title_of(text, text[:4000], 80),
    "harmless": harmless,
    "markdown": _described("a.md", "markdown"),
    "rst": _described("a.rst", "rst"),
    "text": _described("a.txt", "text"),
    "adoc": _described("a.adoc", "adoc"),
    "rdoc": _described("a.rdoc", "rdoc"),
    "html": _described("a.html", "html"),
    "notebook": _described("a.ipynb", "notebook"),
    "org": _described("a.org", "org"),
    "pod": _described("a.pod", "pod"),
    "code": _described("a.go", "code"),
    "python": _described("a.py", "python"),
    "python text": lambda text: _described("a.py", "python")(f"'''{text}'''"),
    "names": names_of,
    "purposes": lambda text: [purpose(text, e) for e in ("c", "hs", "ex", "pm", "rs", "el", "php", "lua")],
    "mentions": lambda text: Index(["a/x.py", "a.js"]).mentioned("b.py", text),
    "made": is_made,
    "orders": lambda text: [
        read_order(path, text) for path in ("mkdocs.yml", "SUMMARY.md", "index.rst", "sidebars.js", "a.pod")
    ],
    "manifests": lambda text: [
        read_one(path, f"{head}{text}")
        for path, head in (
            ("CMakeLists.txt", "project("), ("configure.ac", "AC_INIT("), ("a.gemspec", "s.name = "),
            ("mix.exs", "app: "), ("Package.swift", "Package("), ("a.cabal", "name:"), ("a.el", ";;; a.el --- "),
            ("pom.xml", "<project><name>"), ("composer.json", "{"), ("META.json", "["),
        )
    ],
    "path": lambda text: [glance(File(f"a/{text[:4000]}{e}", 1)) for e in (".py", ".txt", "")],
    "setup.cfg": lambda text: read_one("setup.cfg", f"[metadata]\nname = {text}\n"),
    "setup.cfg key": lambda text: read_one("setup.cfg", f"[metadata]\n{text}= x\n"),
    "setup.cfg lines": lambda text: read_one("setup.cfg", text),
    "setup.cfg section": lambda text: read_one("setup.cfg", f"[metadata]\n{text}\n"),
    "pyproject.toml": lambda text: read_one(
        "pyproject.toml", f"[project]\ndescription = {json.dumps(text)}\n"
    ),
    "pyproject.toml key": lambda text: read_one("pyproject.toml", f"{text}a = 1\n"),
    "Cargo.toml table": lambda text: read_one("Cargo.toml", f"[{text}a]\nb = 1\n"),
    "package.json": lambda text: read_one("package.json", json.dumps({"name": text})),
    "PKG-INFO": lambda text: read_one("PKG-INFO", f"Name: {text}\nSummary: x\n"),
    "PKG-INFO lines": lambda text: read_one("PKG-INFO", text),
    "go.mod": lambda text: read_one("go.mod", f"module {text}"),
}  # fmt: skip


def cpu(read: Callable[[str], object], text: str) -> float:
    """Seconds of CPU."""
    begin = time.process_time()
    read(text)
    return time.process_time() - begin


def one_pass(text: str) -> object:
    """The reference: each character looked at once, in Python."""
    return "".join([c for c in text if c != "\0"])


def check(read: Callable[[str], object], *texts: str) -> None:
    for text in texts:
        # What disturbs a measurement only adds to it, so the better one of two counts.
        passes = max(cpu(one_pass, text[: 64 * KIB]) for _ in range(2))
        allowed = PASSES * passes * len(text) / (64 * KIB) + 0.05
        quick = cpu(read, text) < allowed or cpu(read, text) < allowed
        assert quick, (text[:20], text[-20:])


@pytest.mark.slow
@pytest.mark.parametrize("reader", SHORT_READERS | LONG_READERS)
def test_a_file_is_read_in_linear_time(reader: str) -> None:
    """QA-08 As much of it as is ever read of one file's beginning."""
    shapes = SHAPES | WRITTEN if reader in {*FORMS, *LINES} else SHAPES
    texts = [shape(64 * KIB) for shape in shapes.values()]
    check((SHORT_READERS | LONG_READERS)[reader], *texts)


@pytest.mark.slow
@pytest.mark.parametrize("reader", LONG_READERS)
def test_a_long_text_is_read_in_linear_time(reader: str) -> None:
    """QA-08 What is called for whole files too."""
    for shape in SHAPES.values():
        check(LONG_READERS[reader], shape(1024 * KIB))


@pytest.mark.slow
def test_an_llms_txt_that_is_there_is_compared_in_linear_time() -> None:
    """QA-08 However deep its addresses are, and whatever its comments leave out."""
    tree = [link.path for link in OUTLINE["Docs"]]
    for shape in {**SHAPES, **ADDRESSES}.values():
        text = shape(1024 * KIB)
        check(lambda text: compare(text, OUTLINE, tree, ""), text)  # type: ignore[arg-type]


_pieces = st.text(
    alphabet=" \n\t<>`_*[]()!#-=~.:|'\"&;aA1{}/\\", min_size=1, max_size=12
)


@pytest.mark.slow
@settings(max_examples=40)
@given(head=_pieces, piece=_pieces, tail=_pieces)
def test_no_repetition_is_read_in_more_than_linear_time(
    head: str, piece: str, tail: str
) -> None:
    """QA-08 Shapes that nobody has thought of."""
    text = fill(piece, head, tail)(64 * KIB)
    for name in ("readme", "strip_markup", "first_sentence", "estimate"):
        check(LONG_READERS[name], text)
    for name in ("rst", "code", "setup.cfg lines", "setup.cfg section", "go.mod"):
        check(SHORT_READERS[name], text)
