"""What a file is written in, by its name."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal[
    "markdown", "rst", "adoc", "org", "pod", "rdoc", "text", "python", "code", "notebook", "html", "other"
]  # fmt: skip
#: What people write documents in.
WRITTEN = frozenset({"markdown", "rst", "adoc", "org", "pod", "rdoc", "text"})

_LANGUAGES: dict[str, Language] = {
    ".md": "markdown", ".markdown": "markdown", ".mdx": "markdown", ".rst": "rst", ".txt": "text",
    ".adoc": "adoc", ".asciidoc": "adoc", ".org": "org", ".pod": "pod", ".rdoc": "rdoc", ".py": "python", ".pyi": "python", ".ipynb": "notebook",
    ".html": "html", ".htm": "html",
}  # fmt: skip
_CODE = frozenset(
    {
        ".c", ".cc", ".cjs", ".clj", ".cljs", ".cpp", ".cr", ".cs", ".cts", ".cu", ".cxx", ".dart", ".el",
        ".erl", ".ex", ".exs", ".f90", ".fs", ".go", ".groovy", ".h", ".hh", ".hpp", ".hrl", ".hs", ".hxx",
        ".java", ".jl", ".js", ".jsx", ".kt", ".lhs", ".lua", ".m", ".mjs", ".ml", ".mli", ".mm", ".mts",
        ".nim", ".php", ".pl", ".pm", ".proto", ".ps1", ".pxd", ".pyx", ".r", ".rb", ".rs", ".scala", ".sh",
        ".sql", ".svelte", ".swift", ".ts", ".tsx", ".vala", ".vue", ".zig",
    }
)  # fmt: skip

#: The endings of what is run or compiled.
PROGRAMS = _CODE | {".py", ".pyi"}

#: The name of a README, in any form.
README = re.compile(
    r"readme(\.(md|mkdn?|markdown|rst|txt|adoc|asciidoc|org|pod|rdoc))?$", re.IGNORECASE
)


def language_of(path: str) -> Language:
    """What the file is written in, by its ending."""
    name = name_of(path)
    ending = split_name(name)[1].lower()
    if not ending and README.fullmatch(name):
        return "text"
    if ending in {".mkd", ".mkdn"}:
        return "markdown"
    return "code" if ending in _CODE else _LANGUAGES.get(ending, "other")


# As pathlib has them, which takes six times as long: it is asked five times for each file of a tree.


def name_of(path: str) -> str:
    """What stands behind the last `/`."""
    return path.rpartition("/")[2]


def split_name(name: str) -> tuple[str, str]:
    """Stem and suffix; a dot that begins or ends a name begins no suffix."""
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")
