"""A failure that is raised a little later, where it comes out as it is.

Raised inside a nursery's block it would be wrapped in a group; raised before the clean-up of the
block is done, the clean-up would wait inside an `except`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import trio


class DeferredFailure:
    """Takes an exception out of a block: `with deferred: …`, and `deferred.reraise()` after it.

    Cancelled and its kin (no Exception) pass through: nothing may hold them back. So does whatever
    comes while `unless` holds.
    """

    def __init__(self, unless: Callable[[], bool] = lambda: False) -> None:
        self._unless = unless
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or self._unless():
            return False
        self.error = error
        return True

    def reraise(self) -> None:
        """Raise what was taken, if anything was."""
        if self.error is not None:
            raise self.error


def only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error inside a group, Cancelled apart; the group itself if there are several."""
    _, rest = group.split(trio.Cancelled)
    inner: BaseException | None = rest
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner or group
