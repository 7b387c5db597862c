"""Which files say the same as another one beside them, judged by their paths alone."""

from __future__ import annotations

from collections.abc import Collection

#: An ending, and those of which it is a translation or a declaration: of the two the source is read.
_MADE_FROM = {
    ".d.ts": (".ts", ".tsx"),
    ".d.mts": (".mts",),
    ".d.cts": (".cts",),
    ".js": (".ts", ".tsx", ".coffee"),
    ".mjs": (".mts", ".ts"),
    ".cjs": (".cts", ".ts"),
    ".jsx": (".tsx",),
    ".pyi": (".py", ".pyx"),
    ".min.js": (".js",),
    ".c": (".y", ".l", ".pyx"),
    ".h": (".y", ".l"),
}


def is_double(path: str, paths: Collection[str]) -> bool:
    """Whether a file of `paths` is what `path` was made from."""
    for ending, sources in _MADE_FROM.items():
        # `x.d.ts` ends with `.ts` too, and is no source.
        stem = path.removesuffix(ending)
        if stem != path and any(
            stem + source in paths and not (source == ".ts" and stem.endswith(".d"))
            for source in sources
        ):
            return True
    return False
