"""The keys that leave an attached terminal, as they are written and as they are typed."""

from __future__ import annotations

#: Keys at most: nobody types more by heart.
MOST_KEYS = 8


def keys_of(text: str) -> bytes:
    """What a terminal sends for these keys, written `C-\\ C-\\` or `C-a d`. ValueError if it is none."""
    keys = text.split()
    if not 1 <= len(keys) <= MOST_KEYS:
        raise ValueError(f"must be one to {MOST_KEYS} keys with a space between")
    return b"".join(map(_key, keys))


def _key(name: str) -> bytes:
    if len(name) == 1 and name.isascii() and name.isprintable():
        return name.encode()
    control = name.removeprefix("C-").upper()
    if name.startswith("C-") and len(control) == 1 and "@" <= control <= "_":
        return bytes([ord(control) - ord("@")])
    raise ValueError(
        f"{name!r} is no key; write a character, or C- and one of A to Z [ \\ ] ^ _"
    )


class DetachKeys:
    """Finds the keys among what is typed, however it is cut; what may be their beginning waits."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self.pending = b""
        #: They were typed.
        self.typed = False

    def feed(self, data: bytes) -> bytes:
        """What of it, and of what waited, is the program's; nothing after the keys is."""
        data = self.pending + data
        self.pending = b""
        place = data.find(self._keys)
        if place >= 0:
            self.typed = True
            return data[:place]
        for size in range(min(len(self._keys) - 1, len(data)), 0, -1):
            if data.endswith(self._keys[:size]):
                self.pending = data[-size:]
                return data[:-size]
        return data

    def give_up(self) -> bytes:
        """What waited, because nothing came after it."""
        waited, self.pending = self.pending, b""
        return waited
