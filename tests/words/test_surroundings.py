"""PT-08: a caller's environment on its way, and what is kept of it."""

from __future__ import annotations

import os

import pytest

from penstock.words.errors import Refused, TooLarge
from penstock.words.surroundings import (
    Surroundings,
    check_environment,
    pack_environ,
    unpack_environ,
)

MIB = 1024 * 1024


def kept(environ: dict[str, str], *, listed: bool = False) -> dict[str, str]:
    return unpack_environ(
        check_environment(pack_environ(environ), listed=listed, limit=MIB)
    )


def test_values_that_are_no_text_and_names_that_are_odd_arrive_as_they_were() -> None:
    odd = {
        "BYTES": os.fsdecode(b"\xff\xfe"),
        "BASH_FUNC_f%%": "() {  :\n}",
        "EMPTY": "",
        "EQUALS": "a=b",
        "ÄÖ": "ü",
    }
    assert pack_environ({"BYTES": odd["BYTES"]}) == b"BYTES=\xff\xfe\0"
    assert kept(odd) == odd
    assert list(kept(odd)) == list(odd), "in their order"


@pytest.mark.parametrize("packed", [b"=x\0", b"NAME\0", b"A=1\0\xff\0"])
def test_a_variable_without_a_name_is_refused(packed: bytes) -> None:
    with pytest.raises(Refused, match=r"caller\.environ: a variable has no name"):
        check_environment(packed, listed=False, limit=MIB)


def test_what_is_ours_is_not_passed_from_one_program_to_the_next() -> None:
    """Another run's id and daemon, the token, and settings that a daemon would take for its own."""
    ours = ["PENSTOCK_TOKEN", "PENSTOCK_RUN_ID", "PENSTOCK_URL", "PENSTOCK_PORT"]
    assert kept(dict.fromkeys([*ours, "FOO"], "x")) == {"FOO": "x"}


def test_listed_keeps_what_a_build_needs_of_any_user() -> None:
    environ = dict.fromkeys(["PATH", "LC_ALL", "TERM", "AWS_SECRET", "JAVA_HOME"], "x")
    assert kept(environ, listed=True) == dict.fromkeys(["PATH", "LC_ALL", "TERM"], "x")


def test_an_environment_that_is_too_large_is_refused_with_its_largest_variables() -> (
    None
):
    environ = {"SMALL": "x", "LARGE": "x" * 500, "HUGE": "ä" * 1000, "MIDDLE": "x" * 50}
    with pytest.raises(TooLarge) as caught:
        check_environment(pack_environ(environ), listed=False, limit=1000)
    told = str(caught.value)
    assert "the environment has 2579 bytes; max_environment_bytes is 1000" in told
    assert "'HUGE' (2000 bytes), 'LARGE' (500 bytes), 'MIDDLE' (50 bytes)" in told
    assert "SMALL" not in told
    assert 'env = "listed"' in told
    assert check_environment(pack_environ(environ), listed=True, limit=10) == b""


def test_nothing_of_it_is_in_what_a_traceback_or_a_log_would_say() -> None:
    assert "hunter2" not in repr(Surroundings(b"SECRET=hunter2\0", 0o22))
