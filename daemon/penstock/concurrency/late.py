"""Late imports: what takes seconds to import is imported by whoever first needs it."""

from __future__ import annotations

import gc
import importlib
import sys
from types import ModuleType

from penstock.concurrency.threads import run_in_thread


async def import_late(name: str) -> ModuleType:
    """The module of this name; a thread imports it while the loop goes on.

    Whoever is cancelled does not wait for it: the thread ends by itself, and what it loaded stays.
    """
    new = name not in sys.modules
    module = await run_in_thread(importlib.import_module, name, abandon_on_cancel=True)
    if new:
        # Libraries as big as these stay for good. A collection that looked through all of them now
        # and then would hold the loop for 70 ms each time.
        gc.freeze()
    return module
