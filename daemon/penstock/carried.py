"""Code of ours that goes along: an upgrade replaces the files of the package below a running daemon.

A daemon stays what it was when it started. The programs of ours that it starts are given the code with
their first input and read nothing of the package; and what the daemon itself imports later comes from
what was kept at its start. Otherwise a new file would meet old ones, or none, while pip is at work.
"""

from __future__ import annotations

import logging
import marshal
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source, spec_from_loader
from pathlib import Path
from types import ModuleType

log = logging.getLogger("penstock")

#: Our package, and the folder that it lies in.
PACKAGE = Path(__file__).parent
#: Rooms that a daemon imports nothing of once it runs.
_NOT_KEPT = frozenset({"cli", "testing"})
#: Rooms whose code is handed to programs of ours, by a kind that runs first later on.
_HANDED_ON = frozenset({"__init__.py", "kinds"})

#: Takes the code from the descriptor in `source` (Python), byte for byte, and imports from it first.
_LOADER = """\
import marshal, os, sys
from _frozen_importlib import ModuleSpec
def take(size):
    data = bytearray()
    while len(data) < size:
        part = os.read({source}, size - len(data))
        if not part: os._exit(1)
        data += part
    return bytes(data)
carried = marshal.loads(take(int.from_bytes(take(8), "big")))
class Carried:
    def find_spec(name, path=None, target=None):
        if name in carried: return ModuleSpec(name, Carried, is_package=carried[name][0])
    def create_module(spec): return None
    def exec_module(module): exec(marshal.loads(carried[module.__name__][1]), vars(module))
sys.meta_path.insert(0, Carried)
from {module} import main; main()
"""


def launch_carried(module: str, source: str) -> str:
    """What `python -c` runs: `main` of this module, by the code that comes in at `source`."""
    return _LOADER.format(module=module, source=source)


#: Whether a module is a package, and its code, marshalled.
Code = tuple[bool, bytes]


def carry_code(names: Iterable[str]) -> bytes:
    """The code of these modules, with its length before it: the first that a launched program reads.

    Packages on the way to a module go along.
    """
    kept = _kept()
    code: dict[str, Code] = {}
    for name in names:
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            one = ".".join(parts[:depth])
            code[one] = code.get(one) or kept.get(one) or _read(one)
    data = marshal.dumps(code)
    return len(data).to_bytes(8, "big") + data


def modules_below(room: str) -> list[str]:
    """The names of all modules in a room of the package, those below it included."""
    package = _name_of(PACKAGE / room / "__init__.py")
    kept = [name for name in _kept() if f"{name}.".startswith(f"{package}.")]
    return kept or [_name_of(file) for file in (PACKAGE / room).rglob("*.py")]


def _kept() -> Mapping[str, Code]:
    """What this process kept at its start; nothing if it did not."""
    for finder in sys.meta_path:
        if isinstance(finder, KeptCode):
            return finder.code
    return {}


class KeptCode(Loader, MetaPathFinder):
    """Finds modules of ours by the code that was kept, whatever lies on the disk by then."""

    def __init__(self, code: Mapping[str, Code]) -> None:
        self.code = code

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """See importlib: None for a module that is not kept here."""
        if fullname not in self.code:
            return None
        is_package, _ = self.code[fullname]
        origin = str(_file_of(fullname, is_package=is_package))
        spec = spec_from_loader(fullname, self, origin=origin, is_package=is_package)
        assert spec is not None
        spec.has_location = True
        return spec

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        """See importlib: an ordinary module will do."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """See importlib: run the code that was kept."""
        _, code = self.code[module.__name__]
        exec(marshal.loads(code), vars(module))


def keep_late_code() -> KeptCode | None:
    """Keep the code of all that this process may import of ours later, or hand to a program; blocks for a
    moment.

    None, and said so, if it cannot be read now (no file to be had, above all): that is no reason to end.
    """
    kept: dict[str, Code] = {}
    try:
        for file in PACKAGE.rglob("*.py"):
            name, room = _name_of(file), file.relative_to(PACKAGE).parts[0]
            needed = name not in sys.modules or room in _HANDED_ON
            if needed and room not in _NOT_KEPT:
                kept[name] = _read(name)
    except (OSError, SyntaxError) as error:
        log.warning("after an upgrade this process must be restarted: %s", error)
        return None
    finder = KeptCode(kept)
    sys.meta_path.insert(0, finder)
    return finder


def _read(name: str) -> Code:
    """A module as Python keeps it beside its file, where that is of this file."""
    is_package = _file_of(name, is_package=True).is_file()
    file = _file_of(name, is_package=is_package)
    found = file.stat()
    head = MAGIC_NUMBER + struct.pack(
        "<III", 0, int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF
    )
    try:
        data = Path(cache_from_source(str(file))).read_bytes()
    except (OSError, NotImplementedError):
        data = b""
    if data.startswith(head):
        return is_package, data[len(head) :]
    code = SourceFileLoader(name, str(file)).get_code(name)
    assert code is not None
    return is_package, marshal.dumps(code)


def _file_of(name: str, *, is_package: bool) -> Path:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path / "__init__.py" if is_package else path.with_suffix(".py")


def _name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
