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


def carry_code(names: Iterable[str]) -> bytes:
    """The code of these modules, with its length before it: the first that a launched program reads.

    Packages on the way to a module go along.
    """
    code: dict[str, tuple[bool, bytes]] = {}
    for name in names:
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            one = ".".join(parts[:depth])
            file = _file_of(one)
            code.setdefault(one, (file.name == "__init__.py", _read(one, file)))
    data = marshal.dumps(code)
    return len(data).to_bytes(8, "big") + data


def modules_below(*rooms: str) -> list[str]:
    """The names of all modules in these rooms of the package, those below them included."""
    return [_name_of(file) for room in rooms for file in (PACKAGE / room).rglob("*.py")]


class KeptCode(Loader, MetaPathFinder):
    """Finds modules of ours by the code that was kept, whatever lies on the disk by then."""

    def __init__(self, code: Mapping[str, bytes]) -> None:
        self._code = code

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """See importlib: None for a module that is not kept here."""
        if fullname not in self._code:
            return None
        file = _file_of(fullname)
        spec = spec_from_loader(
            fullname, self, origin=str(file), is_package=file.name == "__init__.py"
        )
        assert spec is not None
        spec.has_location = True
        return spec

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        """See importlib: an ordinary module will do."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """See importlib: run the code that was kept."""
        exec(marshal.loads(self._code[module.__name__]), vars(module))


def keep_late_code() -> KeptCode | None:
    """Keep the code of all that this process may import of ours later; blocks for a moment.

    None, and said so, if it cannot be read now (no file to be had, above all): that is no reason to end.
    """
    kept: dict[str, bytes] = {}
    try:
        for file in PACKAGE.rglob("*.py"):
            name = _name_of(file)
            if name in sys.modules or file.relative_to(PACKAGE).parts[0] in _NOT_KEPT:
                continue
            kept[name] = _read(name, file)
    except (OSError, SyntaxError) as error:
        log.warning("after an upgrade this process must be restarted: %s", error)
        return None
    finder = KeptCode(kept)
    sys.meta_path.insert(0, finder)
    return finder


def _read(name: str, file: Path) -> bytes:
    """The code of a module, marshalled; as Python keeps it beside the file, where that is of this file."""
    found = file.stat()
    head = MAGIC_NUMBER + struct.pack(
        "<III", 0, int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF
    )
    try:
        data = Path(cache_from_source(str(file))).read_bytes()
    except (OSError, NotImplementedError):
        data = b""
    if data.startswith(head):
        return data[len(head) :]
    code = SourceFileLoader(name, str(file)).get_code(name)
    assert code is not None
    return marshal.dumps(code)


def _file_of(name: str) -> Path:
    path = PACKAGE.parent.joinpath(*name.split("."))
    package = path / "__init__.py"
    return package if package.is_file() else path.with_suffix(".py")


def _name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
