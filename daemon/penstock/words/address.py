"""Where the daemon lives: its folders, its address and the token to show it.

Every client finds the daemon by this module and nothing else: `--url`, then `PENSTOCK_URL`, then
what the lock of our state folder names while it is held, then the Unix socket. A TCP port is tried
only if the lock names it and every listener on it is ours: any local user may listen on a free port.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from penstock.words.errors import DaemonUnreachable, Refused, Unauthorised
from penstock.words.holder import Holder, read_holder
from penstock.words.plain_files import open_plain, reason_of

#: A file name has at most 255 bytes; this leaves room for SQLite's `-journal` and `-wal`.
LONGEST_FILE_STEM = 200
#: Characters that are read of a token's file; a token of ours has 43.
LONGEST_TOKEN = 4096
#: Where a login session has its runtime folder, one per uid; XDG_RUNTIME_DIR names it.
SESSIONS = Path("/run/user")
#: Bytes of the path of a Unix socket: one more ends it, for the kernel.
LONGEST_SOCKET_PATH = 107
#: The longest name that a socket of ours has in the runtime folder: of an embedded daemon.
_LONGEST_SOCKET = f"/embedded/{'0' * 16}.sock"
#: Where sockets are whose own folder lies too deep: short, and there on every box.
SHALLOW = Path("/tmp")
#: `st` of a listening socket in /proc/net/tcp.
_LISTENING = "0A"

_HOW_TO_START = (
    "start one with `penstock serve`, or name one with --url or PENSTOCK_URL"
)


@dataclass(frozen=True, slots=True)
class Paths:
    """The daemon's folders, and the files it keeps in them. Nothing here need exist yet."""

    #: What must survive a reboot: database, token, workspaces.
    state: Path
    #: What dies with the session: the socket. Its mode is 0700.
    runtime: Path
    #: What may be lost at any time, and is not put back together with the state: the log's mark.
    cache: Path
    #: The runtime folder of our login session, where the environment is too bare to name it (cron,
    #: `su`); only clients look into it.
    session: Path | None = None

    @property
    def database(self) -> Path:
        """The log of the one daemon of this state folder."""
        return self.state / "penstock.db"

    @property
    def token(self) -> Path:
        """The bearer token, readable by its owner alone."""
        return self.state / "token"

    @property
    def lock(self) -> Path:
        """Held by the one daemon of this state folder."""
        return self.state / "daemon.lock"

    @property
    def socket(self) -> Path:
        """Where the daemon listens for its own user."""
        return self.runtime / "daemon.sock"

    @property
    def lease(self) -> Path:
        """Until when processes may live without a word of a daemon that shares its log."""
        return self.runtime / "lease"

    @property
    def runs(self) -> Path:
        """The workspaces, one folder per run."""
        return self.state / "runs"

    @property
    def embedded(self) -> Path:
        """The logs of embedded daemons, one file per run."""
        return self.state / "embedded"

    @property
    def mark(self) -> Path:
        """How far the log of this state folder had come; by a digest, since states share a cache."""
        return self.cache / f"{_digest(str(self.database))}.mark"

    def workspace(self, run_id: str) -> Path:
        """The folder of one run."""
        return self.runs / file_stem(run_id)

    def embedded_database(self, run_id: str) -> Path:
        """The log of the embedded daemon that was started for this run."""
        return self.embedded / f"{file_stem(run_id)}.db"

    def embedded_socket(self, database: Path) -> Path:
        """The socket of the embedded daemon with this log: a digest, because socket paths must be
        short, and of the whole path, because state folders may share a runtime folder.
        """
        return self.runtime / "embedded" / f"{_digest(str(database))}.sock"


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach one daemon."""

    #: `http://127.0.0.1:9876`, without a slash at the end.
    base: str
    #: The Unix socket to connect to instead of the host in `base`.
    socket: Path | None = None
    token: str | None = field(default=None, repr=False)
    #: Whether the user named this daemon: then no other may stand in for it.
    named: bool = False

    def url(self, *parts: str, **query: object) -> str:
        """The address of a resource; every part and value is percent-encoded, None left out."""
        path = "".join(f"/{quote(part, safe='')}" for part in parts)
        pairs = {key: value for key, value in query.items() if value is not None}
        return f"{self.base}{path}" + (f"?{urlencode(pairs)}" if pairs else "")

    def websocket_url(self, run_id: str | None = None, **query: object) -> str:
        """The address of a run's stream, or of the stream of all runs."""
        pairs = {key: value for key, value in query.items() if value is not None}
        return websocket_url(self.base, run_id) + (
            f"?{urlencode(pairs)}" if pairs else ""
        )

    def authorization(self) -> dict[str, str]:
        """The header that shows the token; none without one.

        Unauthorised if it can stand in no header. What makes headers would quote it in its error.
        """
        if not self.token:
            return {}
        if not (self.token.isascii() and self.token.isprintable()):
            why = "the token holds what no header may, such as a line break"
            raise Unauthorised(f"{why}; is PENSTOCK_TOKEN what it should be?")
        return {"Authorization": f"Bearer {self.token}"}

    def __str__(self) -> str:
        return self.base if self.socket is None else f"unix:{self.socket}"


def find_paths(
    environ: Mapping[str, str],
    *,
    state_dir: Path | None = None,
    runtime_dir: Path | None = None,
    sessions: Path = SESSIONS,
) -> Paths:
    """The folders: configured > given by systemd > XDG.

    A configured state folder brings its own runtime folder, so two daemons with two states never
    meet at one socket.
    """
    state = state_dir or _given(environ, "STATE_DIRECTORY")
    state = state or _xdg(environ, "XDG_STATE_HOME", ".local/state") / "penstock"
    runtime = runtime_dir or (_runtime_beside(state) if state_dir else None)
    runtime = runtime or _given(environ, "RUNTIME_DIRECTORY")
    home = environ.get("XDG_RUNTIME_DIR", "")
    session = None
    if runtime is None and os.path.isabs(home):
        runtime = Path(home) / "penstock"
    elif runtime is None:
        runtime = _runtime_beside(state)
        # Who chose another home or state folder does not mean the daemon of the session.
        if state == _default_state():
            session = sessions / str(os.geteuid()) / "penstock"
    cache = _given(environ, "CACHE_DIRECTORY")
    cache = cache or _xdg(environ, "XDG_CACHE_HOME", ".cache") / "penstock"
    return Paths(
        state=state.expanduser().absolute(),
        runtime=runtime.expanduser().absolute(),
        cache=cache.expanduser().absolute(),
        session=session,
    )


def _runtime_beside(state: Path) -> Path:
    """The folder of sockets in the state folder, or one that stands for it where their paths would be too long.

    Whoever else makes that one first keeps us from listening, and gets no client of ours: sockets of
    others are not talked to.
    """
    beside = state.expanduser().absolute() / "run"
    if len(os.fsencode(f"{beside}{_LONGEST_SOCKET}")) <= LONGEST_SOCKET_PATH:
        return beside
    return SHALLOW / f"{_stand_in()}{_digest(str(beside))}"


def stands_in(folder: Path) -> bool:
    """Whether this is a folder of sockets of ours that stands for one in a state folder."""
    return folder.parent == SHALLOW and folder.name.startswith(_stand_in())


def _stand_in() -> str:
    return f"penstock-{os.geteuid()}-"


def find_address(
    environ: Mapping[str, str], paths: Paths, url: str | None = None
) -> Address:
    """The daemon to talk to: `url` (the flag), PENSTOCK_URL, who holds the lock, or the Unix socket.

    The lock goes first: a socket may be that of another state folder's daemon. DaemonUnreachable if
    nothing was named and there is no socket of ours; Refused for a bad URL; Unauthorised if the
    token file is open to others.
    """
    if named := url or environ.get("PENSTOCK_URL"):
        return parse_address(named, environ, paths)
    if (holder := read_holder(paths.lock)) is not None:
        return _holder_address(holder, environ, paths)
    if paths.session is not None and _is_ours(paths.session.parent):
        there = paths.session / paths.socket.name
        if not paths.socket.exists() and there.exists():
            return socket_address(there)
    return socket_address(paths.socket)


def _holder_address(
    holder: Holder, environ: Mapping[str, str], paths: Paths
) -> Address:
    """Where the holder of our lock listens: its socket, else its port if that is surely its own."""
    try:
        return socket_address(holder.socket or paths.socket)
    except DaemonUnreachable:
        port = _split(holder.url).port if holder.url else None
    if holder.url and port and _listens_as_us(port):
        return replace(parse_address(holder.url, environ, paths), named=False)
    if holder.socket is None:
        how = "does not listen: it is starting, stopping, or no daemon; try again"
    else:
        how = f"its socket {holder.socket} is not to be found from here"
    raise DaemonUnreachable(f"{holder} holds the lock {paths.lock}, but {how}")


def _listens_as_us(port: int) -> bool:
    """Whether somebody listens on this port of our network, and all who do are our own user."""
    owners = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/self/net/{table}").read_text("ascii").splitlines()
        except OSError:
            continue
        for columns in map(str.split, lines[1:]):
            local = int(columns[1].rpartition(":")[2], 16)
            if local == port and columns[3] == _LISTENING:
                owners.add(int(columns[7]))
    return owners == {os.geteuid()}


def _is_ours(folder: Path) -> bool:
    try:
        return folder.stat().st_uid == os.geteuid()
    except OSError:
        return False


def parse_address(url: str, environ: Mapping[str, str], paths: Paths) -> Address:
    """A daemon the user named: `http://host:port`, `https://host` or `unix:/path`."""
    parts = _split(url)
    if parts.scheme == "unix" and parts.path.startswith("/"):
        return Address(base="http://localhost", socket=Path(parts.path), named=True)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Refused(
            "url", f"{url!r} is not http://host:port, https://host or unix:/path"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Refused(
            "url", "holds more than an address; a token belongs in PENSTOCK_TOKEN"
        )
    token = environ.get("PENSTOCK_TOKEN")
    if not token and is_loopback(parts.hostname):
        token = read_token(paths.token)
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return Address(base=base, token=token or None, named=True)


def _split(url: str) -> SplitResult:
    """The parts of an address, `http://` being understood; Refused if it has none."""
    try:
        parts = urlsplit(
            url if "//" in url or url.startswith("unix:") else f"http://{url}"
        )
        _ = parts.port  # computed, and checked, only when it is read
    except ValueError as error:
        raise Refused("url", f"{url!r}: {error}") from None
    return parts


def socket_address(socket: Path) -> Address:
    """The daemon behind a Unix socket of our own. DaemonUnreachable if there is none."""
    try:
        found = socket.stat()
    except OSError:
        raise DaemonUnreachable(f"no daemon is running; {_HOW_TO_START}") from None
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise DaemonUnreachable(f"{socket} is not a socket of yours; {_HOW_TO_START}")
    return Address(base="http://localhost", socket=socket)


def read_token(path: Path) -> str | None:
    """The token in the file, None if there is none. Unauthorised if others may read it."""
    try:
        if path.stat().st_mode & 0o077:
            raise Unauthorised(
                f"others may read {path}; run `chmod 600 {path}` and rotate it"
            )
        with os.fdopen(open_plain(path, os.O_RDONLY), encoding="ascii") as file:
            return file.read(LONGEST_TOKEN).strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = reason_of(error)
        raise Unauthorised(f"the token file {path} cannot be read: {why}") from None


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this box, without asking a name server."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def base_url(host: str, port: int) -> str:
    """Where clients on this box reach a daemon that listens on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return (
        f"http://[{reachable}]:{port}"
        if ":" in reachable
        else f"http://{reachable}:{port}"
    )


def websocket_url(base: str, run_id: str | None = None) -> str:
    """The stream beside an HTTP base: of one run, or of all."""
    stream = "ws" + base.removeprefix("http") + "/ws"
    return stream if run_id is None else f"{stream}/{quote(run_id, safe='')}"


def file_stem(run_id: str) -> str:
    """A file name for a run id: the id itself where that is short, else its start and a digest."""
    name = quote(run_id, safe=" +,=@:~")
    if len(name) <= LONGEST_FILE_STEM and not name.startswith("."):
        return name
    return f"{name.lstrip('.')[:100]}.{_digest(run_id)}"


def _digest(text: str) -> str:
    # Late: most commands need none, and it loads a library of 4 MB.
    import hashlib

    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def _given(environ: Mapping[str, str], name: str) -> Path | None:
    """The first folder systemd made for the service."""
    first = environ.get(name, "").split(":")[0]
    return Path(first) if os.path.isabs(first) else None


def _xdg(environ: Mapping[str, str], name: str, default: str) -> Path:
    """An XDG base folder; the standard says that relative ones are ignored."""
    value = environ.get(name, "")
    if os.path.isabs(value):
        return Path(value)
    home = environ.get("HOME") or _home()
    if not home:
        raise Refused("HOME", f"is not set, and uid {os.geteuid()} has no home folder")
    return Path(home) / default


def _default_state() -> Path | None:
    """Where our state is if no environment says otherwise."""
    home = _home()
    return Path(home) / ".local/state" / "penstock" if home else None


def _home() -> str:
    """Our home folder as the user database has it; "" for a user that it does not know."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""
