"""What a Python module says of itself: its docstring and its public names. It is never imported."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

#: Bytes of source that are parsed: the parser holds the interpreter while it works, about 0.1 s here.
LONGEST_PARSED = 128 * 1024

# Names a warning's origin, so that one filter can be aimed at the code of strangers and at no other.
_ORIGIN = "<source tree>"

# Linear: each line before the docstring is blank or a comment, in one way only.
_DOCSTRING = re.compile(
    r"\A(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*[rRuU]?(?P<q>\"\"\"|''')(?P<text>.{1,4000}?)(?P=q)",
    re.DOTALL,
)
_DEFINED = re.compile(
    r"^(?:class|def|async def)[ \t]+([A-Za-z]\w{0,100})", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Module:
    """A module's docstring (or "") and its public top-level classes and functions, in order."""

    docstring: str = ""
    names: tuple[str, ...] = ()


def read_module(text: str) -> Module:
    """The module in `text`; what Python cannot parse is read by its outer form."""
    if len(text) > LONGEST_PARSED:
        return _skim(text)
    # Odd escapes in a stranger's strings are no concern of the daemon's log.
    warnings.filterwarnings("ignore", module=re.escape(_ORIGIN))
    try:
        tree = ast.parse(text, filename=_ORIGIN)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _skim(text)
    return Module(ast.get_docstring(tree) or "", _public_names(tree))


def _public_names(tree: ast.Module) -> tuple[str, ...]:
    defined = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    ]
    return tuple(dict.fromkeys(_exported(tree) or public_first(defined)))


def public_first(names: Iterable[str]) -> list[str]:
    """The names in capitals first: classes in most languages, and what Go exports."""
    return sorted(names, key=lambda name: not name[0].isupper())


def _exported(tree: ast.Module) -> list[str]:
    """The names in a literal `__all__`."""
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and any(
                isinstance(target, ast.Name) and target.id == "__all__"
                for target in node.targets
            )
            and isinstance(node.value, ast.List | ast.Tuple)
        ):
            items = [
                item.value for item in node.value.elts if isinstance(item, ast.Constant)
            ]
            return [
                item
                for item in items
                if isinstance(item, str) and not item.startswith("_")
            ]
    return []


def _skim(text: str) -> Module:
    docstring = _DOCSTRING.match(text[:16_384])
    names = dict.fromkeys(
        match[1] for match in _DEFINED.finditer(text[:LONGEST_PARSED])
    )
    return Module(docstring["text"].strip() if docstring else "", tuple(names))


def module_name(path: str) -> str:
    """The dotted name under which a module is imported, as far as its path tells."""
    parts = path.removesuffix(".pyi").removesuffix(".py").split("/")
    if len(parts) > 1 and parts[0] in {"src", "lib", "python"}:
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) if all(part.isidentifier() for part in parts) else path
