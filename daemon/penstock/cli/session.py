"""What every verb needs: the environment it was called in, and the way to the daemon."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import click

from penstock import __version__
from penstock.words.address import Address, Paths, find_address, find_paths
from penstock.words.errors import DaemonUnreachable
from penstock.words.holder import read_holder

if TYPE_CHECKING:
    from penstock.client.sync import SyncClient
    from penstock.words.config import Config

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True)
class Session:
    """One call of the command line."""

    environ: Mapping[str, str]
    url: str | None = None
    config_file: str | None = None
    #: Whether a traceback is wanted for what was not foreseen.
    debug: bool = False
    # What was said that is said once.
    _said: set[str] = field(default_factory=set, compare=False, repr=False)

    def say_once(self, text: str) -> None:
        """A word to the person, unless it was said before."""
        if text in self._said:
            return
        from penstock.cli.output import say

        self._said.add(text)
        say(text)

    def heard(self, server: str | None) -> None:
        """Say if what answers is a daemon of another version; its answer is used all the same."""
        from penstock.client.versions import tell_difference, version_in

        version = version_in(server)
        if version is None or version == __version__:
            return
        self.say_once(tell_difference(version, __version__, self._way_to_restart()))

    def _way_to_restart(self) -> str:
        from penstock.cli.units import SERVICE, unit_folder

        if self.named:
            return "`penstock service restart` on its box"
        if (unit_folder(self.environ) / SERVICE).exists():
            return "`penstock service restart`"
        return "`penstock shutdown` and `penstock serve`"

    @property
    def named(self) -> bool:
        """Whether the user named a daemon: then no other may stand in for it."""
        return bool(self.url or self.environ.get("PENSTOCK_URL"))

    def config(
        self, flags: Mapping[str, object] | None = None
    ) -> tuple[Config, dict[str, str]]:
        """The configuration, and where each value that is no default came from."""
        from penstock.words.config_sources import load_config

        return load_config(self.environ, flags, self._config_path())

    def _config_path(self) -> Path | None:
        return None if self.config_file is None else Path(self.config_file)

    def paths(self, config: Config | None = None) -> Paths:
        """The daemon's folders."""
        from penstock.words.config_sources import load_folders

        if config is None:
            state_dir, runtime_dir = load_folders(self.environ, self._config_path())
        else:
            state_dir, runtime_dir = config.state_dir, config.runtime_dir
        return find_paths(self.environ, state_dir=state_dir, runtime_dir=runtime_dir)

    def address(self) -> Address:
        """The running daemon. DaemonUnreachable says how to start one."""
        return find_address(self.environ, self.paths(), self.url)

    def call(self, work: Callable[[SyncClient], T]) -> T:
        """What `work` makes of the running daemon: without an event loop, for a fifth of the CPU."""
        from penstock.client.sync import SyncClient

        return work(SyncClient(self.address(), self.heard))


def run_async(work: Callable[[], Awaitable[T]]) -> T:
    """Run Trio code; a lone error comes out as itself, not inside a group."""
    import trio

    from penstock.concurrency.deferred import only

    try:
        return trio.run(work)
    except BaseExceptionGroup as group:
        raise only(group) from None


async def off_loop(work: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """What blocks, in a thread; who leaves does not wait for it."""
    import trio

    return await trio.to_thread.run_sync(work, *arguments, abandon_on_cancel=True)


def session_of(ctx: click.Context) -> Session:
    """The session of a command; while a shell completes a line, `cli` has made none yet."""
    found = ctx.find_object(Session)
    if found is not None:
        return found
    given = ctx.find_root().params
    return Session(
        os.environ, url=given.get("url"), config_file=given.get("config_file")
    )


def read_pid(lock: Path) -> int:
    """The process that holds the daemon's lock. DaemonUnreachable if nobody does."""
    holder = read_holder(lock)
    if holder is None:
        raise DaemonUnreachable("no daemon is running")
    if holder.pid is None:
        raise DaemonUnreachable(f"the lock {lock} is held, and does not say by whom")
    return holder.pid


pass_session = click.make_pass_decorator(Session)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="JSON on stdout; times in UTC."
)
