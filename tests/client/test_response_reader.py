"""CL-01: answers of HTTP read by hand, however their bytes are cut."""

from __future__ import annotations

import pytest

from penstock.client.response_reader import LARGEST_HEAD, Lines, NoHttp, ResponseReader

HEAD = b"HTTP/1.1 200 OK\r\nServer: penstock/1\r\n"
CHUNKED = (
    HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"5\r\nhello\r\n1;name=value\r\n,\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
)
SIZED = HEAD + b"Content-Length: 12\r\n\r\nhello, world"
TO_ITS_END = HEAD + b"\r\nhello, world"
AFTER_A_WORD = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SIZED


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("sent", [CHUNKED, SIZED, TO_ITS_END, AFTER_A_WORD])
def test_a_body_is_whole_however_it_is_cut(sent: bytes, size: int) -> None:
    """CL-01"""
    reader, body = ResponseReader(), b""
    for begin in range(0, len(sent), size):
        body += reader.feed(sent[begin : begin + size])
    if not reader.ended:
        assert sent is TO_ITS_END
        assert reader.feed(b"") == b""
    assert reader.ended
    assert (reader.status, reader.headers["server"]) == (200, "penstock/1")
    assert body == b"hello, world"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        CHUNKED[:-20],
        SIZED[:-1],
        HEAD + b"Content-Length: many\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"x" * (LARGEST_HEAD + 1),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * (LARGEST_HEAD + 1),
    ],
)
def test_what_is_no_whole_answer_is_none(sent: bytes) -> None:
    """ER-02: and nothing is kept without a bound of what cannot be one."""
    reader = ResponseReader()
    with pytest.raises(NoHttp):
        for data in (sent, b""):
            reader.feed(data)


def test_an_answer_without_a_body_ends_with_its_head() -> None:
    """CL-01"""
    for line in (b"HTTP/1.1 204 No Content", b"HTTP/1.0 200\r\nContent-Length: 0"):
        reader = ResponseReader()
        assert reader.feed(line + b"\r\n\r\n") == b""
        assert reader.ended


def test_lines_are_whole_however_they_are_cut() -> None:
    """CL-01"""
    lines = Lines(longest=10)
    assert lines.feed(b"one\ntw") == [b"one"]
    assert lines.feed(b"") == []
    assert lines.feed(b"o\n\nthree\n") == [b"two", b"", b"three"]
    lines.feed(b"12345")
    with pytest.raises(ValueError, match="longer than 10"):
        lines.feed(b"678901")
