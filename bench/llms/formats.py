"""What reading documents gives and costs: `python -m bench.llms.formats FOLDER…`.

For each form, of the documents below the folders: how many there are, how many tell a title and how many prose, and what one
takes of a CPU, with what the parser takes to be imported told apart.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from penstock.kinds.llms_txt.describe import heading_of, paragraphs
from penstock.kinds.llms_txt.languages import README, Language, language_of
from penstock.kinds.llms_txt.parsing import read_blocks

FORMS: tuple[Language, ...] = ("markdown", "rst", "adoc", "org", "rdoc", "pod", "html", "notebook")  # fmt: skip
_NOT_OURS = re.compile(r"(^|/)(tests?|fixtures|node_modules|\.[^/]+)/|(^|/)(changes|changelog|licen[cs]e)[^/]*$", re.IGNORECASE)  # fmt: skip
_IMPORT = "import sys, time; t = time.process_time(); import {}; print(1000 * (time.process_time() - t))"


def _documents(folders: list[str], language: Language) -> Iterator[Path]:
    for folder in folders:
        for path, _, names in os.walk(folder):
            for name in sorted(names):
                file = Path(path, name)
                where = file.relative_to(folder).as_posix()
                if language_of(name) == language and not _NOT_OURS.search(where) and file.is_file():  # fmt: skip
                    yield file


def to_import(module: str) -> float:
    """Milliseconds of CPU, the least of five processes that have nothing else."""
    command = [sys.executable, "-c", _IMPORT.format(module)]
    return min(float(subprocess.check_output(command)) for _ in range(5))


def main(folders: list[str]) -> None:
    """Print the table."""
    for module in ("markdown_it", "docutils.parsers.rst, docutils.frontend"):
        print(f"to import {module}: {to_import(module):.0f} ms")
    print("| form | documents | title | prose | each |")
    print("|---|---|---|---|---|")
    for language in FORMS:
        read_blocks("", language)
        titles = prose = count = 0
        spent = 0.0
        for file in _documents(folders, language):
            text = file.read_bytes()[: 64 * 1024].decode(errors="replace")
            began = time.process_time()
            blocks = read_blocks(text, language)
            spent += time.process_time() - began
            page = README.fullmatch(file.name) is None
            titles += bool(heading_of(blocks, page=page))
            prose += bool(next(paragraphs(blocks), ""))
            count += 1
        each = 1000 * spent / max(1, count)
        print(f"| {language} | {count} | {titles} | {prose} | {each:.1f} ms |")


if __name__ == "__main__":
    main(sys.argv[1:])
