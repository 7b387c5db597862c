"""What the door uses of Hypercorn's private parts; a new version must keep it, or we must notice."""

from __future__ import annotations

import inspect

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext


def test_the_names_take_what_the_door_gives_them() -> None:
    """APP-01"""
    assert list(inspect.signature(TCPServer).parameters) == [
        "app",
        "config",
        "context",
        "state",
        "stream",
    ]
    assert list(inspect.signature(WorkerContext).parameters) == ["max_requests"]
    assert list(inspect.signature(ASGIWrapper).parameters) == ["app"]


async def test_the_context_has_an_event_that_ends_idle_connections() -> None:
    context = WorkerContext(None)
    with trio.fail_after(5):
        await context.terminated.set()
        await context.terminated.wait()
    assert "terminated" in inspect.getsource(TCPServer._idle_timeout)


def test_the_first_wait_of_a_connection_can_be_made_to_let_a_stop_pass() -> None:
    """SY-01: `_HttpConnection` answers a request that came before the stop."""
    assert inspect.iscoroutinefunction(TCPServer._idle_timeout)
    assert "restart(self._task_group, self._idle_timeout)" in inspect.getsource(
        TCPServer.protocol_send
    )


def test_the_protocol_has_the_parts_that_are_replaced() -> None:
    """API-08: `Http1` has its own parser, keeps to HTTP/1.1, and says when a body is wanted."""
    assert inspect.iscoroutinefunction(H11Protocol._check_protocol)
    assert inspect.iscoroutinefunction(H11Protocol._send_h11_event)
    made = inspect.getsource(H11Protocol.__init__)
    assert "h11.Connection(" in made
    assert "self.connection_state = connection_state" in made
    handled = inspect.getsource(H11Protocol._handle_events)
    assert "self.connection.they_are_waiting_for_100_continue" in handled
    parser = h11.Connection(h11.SERVER)
    assert parser.client_is_waiting_for_100_continue is False
    assert parser._cstate.pending_switch_proposals == set()
    names = list(inspect.signature(H11Protocol).parameters)
    assert names == [
        "app", "config", "context", "task_group", "connection_state", "ssl", "client", "server",
        "send",
    ]  # fmt: skip


def test_the_connection_is_run_as_the_original_does() -> None:
    """APP-01: `_HttpConnection.run` is its second half, with another protocol."""
    run = inspect.getsource(TCPServer.run)
    for step in (
        "TaskGroup()",
        "self.idle_task.restart(self._task_group, self._idle_timeout)",
        "self._read_data()",
        "self._close()",
    ):
        assert step in run


def test_sends_are_shielded_so_a_stalled_client_must_be_cut() -> None:
    """WS-03: were they not, the stall limit could go."""
    assert "shield = True" in inspect.getsource(TCPServer.protocol_send)


def test_a_connection_has_the_parts_that_end_it_with_its_client() -> None:
    """WS-02: `_HttpConnection` ends the idle task when `_read_data` has ended."""
    assert inspect.iscoroutinefunction(TCPServer._read_data)
    assert inspect.iscoroutinefunction(TCPServer.protocol_send)
    assert "self.idle_task = TrioSingleTask()" in inspect.getsource(TCPServer.__init__)


def test_the_settings_have_the_names_the_door_sets() -> None:
    for name in (
        "accesslog",
        "errorlog",
        "include_server_header",
        "h11_max_incomplete_size",
        "keep_alive_timeout",
    ):
        assert hasattr(Config, name), name
