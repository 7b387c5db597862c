"""Who holds a place at the door: connections are counted by what is known of who is behind them.

Whoever has shown no token yet is a stranger. Strangers have places of their own, and when these are
taken the one that came first makes room: so they can keep nobody out, least of all the user.
"""

from __future__ import annotations

import logging

import trio

from penstock.server.door_stream import DoorStream

_log = logging.getLogger("penstock.door")


class Places:
    """The connections that are open. `most` holds for those of the port that are known, and again
    for those of the Unix socket, so that a flood on one never locks out the other.
    """

    def __init__(self, *, most: int, most_strangers: int) -> None:
        self._most = most
        self._most_strangers = most_strangers
        #: In the order in which they came.
        self._strangers: dict[DoorStream, None] = {}
        self._known: set[DoorStream] = set()
        self._own: set[DoorStream] = set()
        self._warned = False
        self._left = trio.lowlevel.ParkingLot()

    def take(self, connection: DoorStream) -> bool:
        """Give it a place; false if there is none to serve it at, only one to be turned away at.

        The Unix socket is the user's own: nobody there is a stranger.
        """
        if connection.local is None:
            self._own.add(connection)
            return len(self._own) <= self._most
        if len(self._strangers) >= self._most_strangers:
            self._drop_first()
        self._strangers[connection] = None
        return len(self._known) < self._most

    def note_known(self, connection: DoorStream) -> None:
        """It has shown the token: no stranger may push it out any more."""
        if connection in self._strangers:
            del self._strangers[connection]
            self._known.add(connection)

    def leave(self, connection: DoorStream) -> None:
        """Its place is free."""
        self._strangers.pop(connection, None)
        self._known.discard(connection)
        self._own.discard(connection)
        if 2 * len(self._strangers) <= self._most_strangers:
            self._warned = False
        self._left.unpark_all()

    async def wait_empty(self) -> None:
        """Wait until no connection is open."""
        while self._strangers or self._known or self._own:
            await self._left.park()

    def cut_all(self) -> None:
        """Close every connection now."""
        for connection in (*self._strangers, *self._known, *self._own):
            connection.cut()

    def _drop_first(self) -> None:
        first = next(iter(self._strangers))
        del self._strangers[first]
        first.cut()
        if not self._warned:
            # Once for a flood, however long it lasts.
            self._warned = True
            _log.warning(
                "%d connections have shown no token; the first of them makes room",
                self._most_strangers,
            )
