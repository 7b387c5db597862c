"""Compare our readers of documents with libraries: `python -m bench.llms.formats FOLDER…`.

For each document below the folders: is the title that of the library, and the first prose? Needed are
markdown-it-py and docutils, which Penstock does not need; docs/llms-txt.md tells why. The library is shown
the first 8 KiB of a document. What differs is printed, to be judged by a person.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from penstock.kinds.llms_txt.describe import heading_of, paragraphs
from penstock.kinds.llms_txt.languages import README, Language, language_of

SHOWN = 8192
_NOT_OURS = re.compile(r"(^|/)(tests?|fixtures|node_modules|\.[^/]+)/|(^|/)(changes|changelog|licen[cs]e)[^/]*$", re.IGNORECASE)  # fmt: skip

#: Title and first prose.
Read = tuple[str, str]


def markdown_reader() -> Callable[[str], Read]:
    """By markdown-it-py."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")

    def words(token: object) -> str:
        children = getattr(token, "children", None) or []
        return "".join(
            one.content if one.type in {"text", "code_inline"} else " "
            for one in children
        )

    def read(text: str) -> Read:
        tokens = parser.parse(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL))
        after = dict(zip(map(id, tokens), tokens[1:], strict=False))
        headings = (words(after[id(one)]) for one in tokens if one.type == "heading_open")  # fmt: skip
        prose = (
            words(after[id(one)])
            for one in tokens
            if one.type == "paragraph_open" and one.level == 0
        )
        return next(headings, ""), next(filter(_is_prose, prose), "")

    return read


def rst_reader() -> Callable[[str], Read]:
    """By docutils, which reads no file here; what it does not know of Sphinx is left out."""
    from docutils import frontend, nodes, utils
    from docutils.parsers.rst import Parser

    settings = frontend.get_default_settings(Parser)
    settings.report_level = settings.halt_level = 5
    settings.file_insertion_enabled = settings.raw_enabled = False
    settings.warning_stream = io.StringIO()

    def read(text: str) -> Read:
        document = utils.new_document("document", settings)
        Parser().parse(text, document)
        titles = (one.astext() for one in document.findall(nodes.title))
        prose = (
            one.astext()
            for one in document.findall(nodes.paragraph)
            if isinstance(one.parent, nodes.section | nodes.document)
        )
        return next(titles, ""), next(filter(_is_prose, prose), "")

    return read


def _is_prose(text: str) -> bool:
    return len(re.findall(r"[^\W\d_]{2,}", text)) >= 4


def _bare(text: str, length: int) -> str:
    return " ".join(re.findall(r"\w+", re.sub(r":[\w:]+:`", "`", text))).lower()[:length]  # fmt: skip


def _documents(folders: list[str], language: Language) -> Iterator[Path]:
    for folder in folders:
        for path, _, names in os.walk(folder):
            for name in sorted(names):
                file = Path(path, name)
                where = file.relative_to(folder).as_posix()
                if language_of(name) == language and not _NOT_OURS.search(where):
                    yield file


def main(folders: list[str]) -> None:
    """Print a row of the table for each form, and what differs."""
    print("| form | documents | title | first prose | ours | library |")
    print("|---|---|---|---|---|---|")
    forms: list[tuple[Language, Callable[[], Callable[[str], Read]]]] = [
        ("markdown", markdown_reader),
        ("rst", rst_reader),
    ]
    for language, make in forms:
        began = time.perf_counter()
        theirs = make()
        begin = time.perf_counter() - began
        spent, theirs_spent = 0.0, 0.0
        titles = prose = count = 0
        differing: list[str] = []
        for file in _documents(folders, language):
            text = file.read_text(errors="replace")[: 64 * 1024]
            page = README.fullmatch(file.name) is None
            began = time.perf_counter()
            markdown = language == "markdown"
            ours = heading_of(text, markdown=markdown, page=page), next(paragraphs(text), "")  # fmt: skip
            between = time.perf_counter()
            other = theirs(text[:SHOWN])
            spent += between - began
            theirs_spent += time.perf_counter() - between
            same = _bare(ours[0], 60) == _bare(other[0], 60), _bare(ours[1], 40) == _bare(other[1], 40)  # fmt: skip
            titles, prose, count = titles + same[0], prose + same[1], count + 1
            if not all(same):
                differing.append(f"  {file}\n    {ours!r:.300}\n    {other!r:.300}")
        print(
            f"| {language} | {count} | {titles} | {prose} | {1000 * spent / max(1, count):.1f} ms"
            f" | {1000 * theirs_spent / max(1, count):.1f} ms, and {1000 * begin:.0f} ms to begin |"
        )
        print("\n".join(differing), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
