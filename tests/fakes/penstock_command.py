"""The type of the fixture `penstock`: a call of the command line in this process."""

from __future__ import annotations

from collections.abc import Callable

from click.testing import Result

Penstock = Callable[..., Result]
