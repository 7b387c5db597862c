"""How a WebSocket is closed: the code, and as much of the reason as fits."""

from __future__ import annotations

from penstock.words.error_status import row_of
from penstock.words.errors import PenstockError

#: Close codes of RFC 6455: the run has ended, the daemon stops, come again later.
CODE_ENDED, CODE_STOPPING, CODE_LATER = 1000, 1001, 1013
#: An error's close code is its HTTP status plus this.
FIRST_ERROR_CODE = 4000
# A close frame has room for 125 bytes, two of them for the code.
_LONGEST_REASON = 123


def error_code(error: PenstockError) -> int:
    """The close code of an error."""
    return FIRST_ERROR_CODE + row_of(error).status


def short(reason: str) -> str:
    """As much of a reason as a close frame takes."""
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
