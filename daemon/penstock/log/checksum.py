"""The checksum of one stored fact: what tells that a row is not what was written.

SQLite notices a page whose structure is broken, and not one whose bytes were changed in place: a
sector of zeros within a long body reads as a fact. So each row carries a CRC of all its other
columns. It is no proof against somebody who means to forge a log.
"""

from __future__ import annotations

from zlib import crc32


def checksum_of(
    position: int,
    run: int,
    sequence: int,
    event_id: bytes,
    at: int,
    type: str,  # noqa: A002  (the column's name)
    clock: str,
    causation: bytes | None,
    code_version: int,
    body: bytes,
) -> int:
    """CRC-32 of a row of `events`: its header, then its body; the columns are in table order.

    Nothing else goes into it, so whoever replaces a body gives the row a new one in the same update.
    """
    head = f"{position} {run} {sequence} {at} {code_version} {type} {clock} ".encode()
    return crc32(body, crc32(head + event_id + (causation or b"")))
