"""MB-04, MB-07: what a daemon knows of its lease, and how it ends with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from penstock.processes.lease_deadline import boottime, decode
from penstock.service.lease import Lease, LeaseFile, margin_of, open_lease
from penstock.words.errors import StartRefused, StoreBroken

SECOND = 1_000_000_000


class World:
    """A lease of 120 s with a margin of 20, on a clock that a test sets."""

    def __init__(self, file: LeaseFile) -> None:
        self.file = file
        self.now = 1000 * SECOND
        self.news = 0
        self.lease = Lease(file, seconds=120.0, margin=20.0, now=lambda: self.now)
        self.lease.on_news = self._on_news

    def _on_news(self) -> None:
        self.news += 1

    def told(self) -> int:
        """What supervisors read."""
        return decode(Path(self.file.path).read_bytes())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(LeaseFile(tmp_path / "run" / "lease")) as file:
        yield World(file)


def test_a_lease_counts_from_before_it_was_asked_for(world: World) -> None:
    """MB-04: the answer took its time, and the server counts from some moment between."""
    asked = world.now
    world.now += 30 * SECOND
    world.lease.renewed(asked)
    assert world.told() == asked + 100 * SECOND
    assert world.lease.left() == 70.0
    assert world.lease.why_over() is None
    assert world.news == 1


def test_an_answer_that_comes_late_takes_nothing_back(world: World) -> None:
    """MB-05: answers come by whichever connection."""
    world.lease.renewed(world.now)
    world.lease.renewed(world.now - 50 * SECOND)
    assert world.told() == world.now + 100 * SECOND
    assert world.lease.left() == 100.0


def test_a_lease_that_was_never_had_is_not_over(world: World) -> None:
    assert world.lease.why_over() is None
    assert world.lease.left() == 0.0
    assert world.told() == 0


def test_what_was_over_is_not_renewed(world: World) -> None:
    """MB-07: supervisors have ended what they had by then, whatever the server grants afterwards."""
    world.lease.renewed(world.now)
    until = world.told()
    world.now = until
    world.lease.renewed(world.now - SECOND)
    assert world.lease.why_over() == "the lease was not renewed in time"
    assert world.told() == until
    assert world.lease.left() == 0.0


def test_a_lease_that_the_server_gave_away_is_over(world: World) -> None:
    """MB-05: for the first reason that was told."""
    world.lease.renewed(world.now)
    world.lease.lost("the log's server has given it to box b")
    world.lease.lost("something else")
    world.lease.renewed(world.now + SECOND)
    assert world.lease.why_over() == "the log's server has given it to box b"
    assert world.told() == world.now + 100 * SECOND
    assert world.news == 3


def test_a_renewal_that_supervisors_cannot_hear_of_is_none(world: World) -> None:
    """MB-04: they would end what we take for running."""
    world.lease.renewed(world.now)
    broken = os.open("/dev/full", os.O_WRONLY)
    own = os.dup(fd_of(world.file))
    os.dup2(broken, fd_of(world.file))
    world.lease.renewed(world.now + 10 * SECOND)
    assert world.lease.left() == 100.0
    os.dup2(own, fd_of(world.file))
    world.lease.renewed(world.now + 20 * SECOND)
    assert world.lease.left() == 120.0
    for fd in (broken, own):
        os.close(fd)


def fd_of(file: LeaseFile) -> int:
    return int(file.path.rpartition("/")[2])


@pytest.mark.parametrize(
    ("lease", "grace", "margin"),
    [
        (120.0, 2.0, 7.0),
        (120.0, 30.0, 35.0),
        (120.0, 600.0, 40.0),
        (6.0, 2.0, 2.0),
        (9.0, 2.0, 3.0),
    ],
)
def test_the_margin_has_room_for_an_end_and_leaves_room_to_renew(
    lease: float, grace: float, margin: float
) -> None:
    """MB-04: of a short lease a third, in which KILL comes before TERM has had its time."""
    assert margin_of(lease, grace) == pytest.approx(margin)


def test_a_file_is_made_anew_and_removed_by_who_made_it(tmp_path: Path) -> None:
    """MB-02: supervisors of an earlier life go by that life's."""
    path = tmp_path / "lease"
    first = LeaseFile(path)
    earlier = os.open(first.path, os.O_RDONLY)
    first.tell(5)
    second = LeaseFile(path)
    second.tell(7)
    assert decode(os.pread(earlier, 8, 0)) == 5
    first.close()
    assert decode(path.read_bytes()) == 7
    assert path.stat().st_mode & 0o777 == 0o600
    second.close()
    assert not path.exists()
    os.close(earlier)


def test_a_file_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "lease").symlink_to(tmp_path / "precious")
    LeaseFile(tmp_path / "lease").close()
    assert (tmp_path / "precious").read_text() == "mine"


def test_supervisors_read_it_though_its_folder_is_gone(tmp_path: Path) -> None:
    """MB-04: as that of a login session at its end."""
    file = LeaseFile(tmp_path / "run" / "lease")
    (tmp_path / "run" / "lease").unlink()
    (tmp_path / "run").rmdir()
    file.tell(5)
    assert decode(Path(file.path).read_bytes()) == 5
    file.close()


# -- the watch


def broken(why: str) -> pytest.RaisesGroup[StoreBroken]:
    """What comes out of the block, for this reason."""
    return pytest.RaisesGroup(pytest.RaisesExc(StoreBroken, match=why))


def never() -> None:
    raise AssertionError("the process would have been ended")


async def test_a_block_that_ends_in_order_ends_the_watch(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with open_lease(
            tmp_path / "lease", seconds=120.0, kill_grace=2.0, end=never
        ) as lease:
            lease.renewed(boottime())
    assert not (tmp_path / "lease").exists()


async def test_a_daemon_whose_lease_is_lost_ends(tmp_path: Path) -> None:
    """MB-05: as by any log that it has no more."""
    with broken("it is box b's"), trio.fail_after(60):
        async with open_lease(
            tmp_path / "lease", seconds=120.0, kill_grace=2.0, end=never
        ) as lease:
            lease.renewed(boottime())
            await trio.to_thread.run_sync(lease.lost, "it is box b's")
            await trio.sleep_forever()


async def test_a_daemon_whose_lease_is_over_ends(tmp_path: Path) -> None:
    """MB-04: nothing was heard of the server."""
    with broken("not renewed in time"), trio.fail_after(60):
        async with open_lease(
            tmp_path / "lease", seconds=6.0, kill_grace=2.0, end=never
        ) as lease:
            # Of four seconds all but half a second are gone.
            lease.renewed(boottime() - 7 * SECOND // 2)
            await trio.sleep_forever()


async def test_an_end_that_does_not_come_is_cut_short(tmp_path: Path) -> None:
    """MB-04: a thread that waits for a server holds the loop's end, but not the process's."""
    held, said = trio.Event(), []
    token = trio.lowlevel.current_trio_token()

    def end() -> None:
        said.append("ended")
        token.run_sync_soon(held.set)

    with broken("it is box b's"), trio.fail_after(60):
        async with open_lease(
            tmp_path / "lease",
            seconds=6.0,
            kill_grace=2.0,
            flush=lambda: said.append("flushed"),
            end=end,
        ) as lease:
            lease.lost("it is box b's")
            with trio.fail_after(30, shield=True):
                await held.wait()
            await trio.sleep_forever()
    assert said == ["flushed", "ended"]


async def test_what_the_block_raises_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="no server"):
        async with open_lease(
            tmp_path / "lease", seconds=120.0, kill_grace=2.0, end=never
        ):
            raise StartRefused("no server")


async def test_a_file_that_cannot_be_made_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    with pytest.raises(StartRefused, match="by which processes know of the lease"):
        async with open_lease(
            tmp_path / "run" / "lease", seconds=120.0, kill_grace=2.0
        ):
            raise AssertionError
