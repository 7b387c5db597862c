"""RS-01: threads that are kept, and threads that are not to be had. Real threads, real clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing
from trio._core import _thread_cache

from penstock.concurrency import threads
from penstock.concurrency.threads import open_threads, run_in_thread
from penstock.words.errors import NoProcess, StartRefused


@contextmanager
def no_thread_can_be_made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """As at `pids.max`: every start of a thread fails; what was asked for is listed."""
    asked: list[str] = []

    def refuse(thread: threading.Thread) -> None:
        asked.append(thread.name)
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield asked


@pytest.fixture
def no_idle_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio keeps a thread for ten seconds; here it has none left from another test."""
    monkeypatch.setattr(_thread_cache, "THREAD_CACHE", _thread_cache.ThreadCache())


async def test_kept_threads_work_when_no_thread_can_be_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RS-01: all of them at once."""
    meet = threading.Barrier(3)
    with trio.fail_after(30):
        async with open_threads(3, "test") as run:
            with no_thread_can_be_made(monkeypatch) as asked:
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(run, meet.wait, 20)
                assert await run(int, "7") == 7
            assert asked == []
    assert not [t for t in threading.enumerate() if t.name.startswith("test")]


async def test_what_a_function_raises_comes_to_who_asked() -> None:
    async with open_threads(1, "test") as run:
        with pytest.raises(ValueError, match="invalid literal"):
            await run(int, "x")
        with pytest.raises(RuntimeError, match="its own"):
            await run_in_thread(fail)


def fail() -> None:
    raise RuntimeError("its own")


async def test_a_cancel_waits_for_the_function_at_work_and_for_no_other() -> None:
    """ST-05: a commit that nobody waits for would be one of unknown outcome."""
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        assert go_on.wait(60)
        done.append("first")

    with trio.fail_after(30):
        async with open_threads(1, "test") as run:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, work)
                await trio.to_thread.run_sync(begun.wait, 20)
                nursery.start_soon(run, done.append, "second")
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
                go_on.set()
            assert done == ["first"]
            await run(done.append, "third")
    assert done == ["first", "third"]


async def test_a_start_without_threads_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with no_thread_can_be_made(monkeypatch):
        with pytest.raises(StartRefused, match="no thread can be had for 'store 0'"):
            async with open_threads(1, "store"):
                raise AssertionError


async def test_a_thread_that_cannot_be_made_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, no_idle_thread: None
) -> None:
    """RS-01: what somebody uses up now is free again a moment later."""
    real = threading.Thread.start
    asked = 0

    def refuse_twice(thread: threading.Thread) -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_twice)
    with trio.fail_after(30):
        assert await run_in_thread(int, "7") == 7
    assert asked == 3


async def test_who_waited_long_enough_for_a_thread_is_told_so(
    monkeypatch: pytest.MonkeyPatch, no_idle_thread: None
) -> None:
    """RS-01 ER-01: in a sentence, and as a problem that passes."""
    monkeypatch.setattr(threads, "PATIENCE", 0.2)
    with no_thread_can_be_made(monkeypatch) as asked:
        with trio.fail_after(30), pytest.raises(NoProcess, match="no further process"):
            await run_in_thread(int, "7")
    assert len(asked) > 1
