"""PT-06: a run of `command` is the program: its bytes on each stream, their order, its exit code.

Each program is run by a shell as it is, by a daemon, and with a daemon embedded, in a folder of its
own that is made anew each time and has the same path.
"""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes.lengths import length
from fakes.real_daemon import RealDaemon, wait_until_answering

pytestmark = [pytest.mark.slow, pytest.mark.processes]

#: Seconds for one program; a loaded box may take its time.
PATIENCE = 60
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
#: What this command adds where a signal or Penstock itself ended the run: a sentence of its own.
OURS = re.compile(rb"^penstock: .*\n", re.MULTILINE)
#: The streams of a program, and then both in one pipe.
APART, TOGETHER = "apart", "together"


@dataclass(frozen=True)
class Program:
    """A line for `bash -c`, which becomes the program where it is one."""

    name: str
    line: str
    #: Programs that it needs besides those of every Debian.
    needs: tuple[str, ...] = ()
    #: What differs from one time to the next, whoever runs it.
    varies: str = ""
    #: Whether it writes to both streams in an order that is the same each time.
    ordered: bool = False


REPOSITORY = (
    "git init -q -b main . && for n in 1 2 3 4 5 6; do echo $n > n; git add n;"
    " git commit -q -m $n; done"
)
PYTEST = (
    "printf 'def test_a():\\n    assert 1 == 2\\n\\ndef test_b():\\n    print(7)\\n' > test_x.py;"
    f" exec {sys.executable} -m pytest -q -p no:cacheprovider --rootdir=. "
)
BAR = (
    "import sys, time\nfor n in range(101): sys.stderr.write(f'\\r{n:3} %'); sys.stderr.flush();"
    " n % 25 or time.sleep(0.05)\nprint('\\ndone')"
)
SPLIT = (
    "import os, time\nfor piece in (b'a\\xe2', b'\\x82', b'\\xac\\xff', b'\\xf0\\x9f', b'z\\n'):"
    " os.write(1, piece); time.sleep(0.15)"
)
TURNS = "for i in 1 2 3; do echo out$i; echo err$i >&2; done"
CLOSES = "import os, time\nos.write(1, b'a\\n'); os.close(1); time.sleep(0.2); os.write(2, b'b\\n')"  # fmt: skip
TRACEBACK = "def deep(n): return deep(n - 1) if n else 1 / 0\ndeep(9)"
GROUP = "raise ExceptionGroup('ü', [ValueError(1), OSError(2, 'x', 'y')])"


def python(code: str) -> str:
    return f"exec {sys.executable} -c {shell_quoted(code)}"


def shell_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


PROGRAMS = [
    # -- bytes
    Program("every byte", python("import os; os.write(1, bytes(range(256)))")),
    Program("every byte on stderr", python("import os; os.write(2, bytes(range(256)))")),
    Program("CRLF", "exec printf 'a\\r\\nb\\r\\n'"),
    Program("no newline at the end", "exec printf abc"),
    Program("nothing", "exec true"),
    Program("NUL", "exec head -c 100000 /dev/zero"),
    Program("a character over several writes", python(SPLIT)),
    Program("a byte order mark", "exec printf '\\xef\\xbb\\xbfa\\n'"),
    Program("UTF-16", "printf 'äöü\\n' | iconv -t UTF-16"),
    Program("halves of surrogate pairs", "exec printf '\\xed\\xa0\\x80\\xed\\xb0\\x80'"),
    Program("line separators", "exec printf 'a\\u2028b\\x0bc\\x0cd\\x85e\\x1cf\\n'"),
    Program("what a terminal would obey", "exec printf '\\e]0;t\\a\\e[2J\\e[31mred\\e[m\\b\\n'"),
    Program("a long line", "head -c 3000000 /dev/zero | tr '\\0' x"),
    Program("a longer line without text", "head -c 3000000 /dev/zero | tr '\\0' '\\377'"),
    Program("words", "exec printf '%s|' '' 'a b' $'x\\ny' ü '*' -- -h --help"),
    # -- streams
    Program("streams in turns", TURNS, ordered=True),
    Program("streams in turns without lines", python(
        "import os\nfor n in range(300): os.write(1 + n % 2, b'%d,' % n)"), ordered=True),
    Program("streams by their names", "echo a > /dev/stdout; echo b > /dev/stderr", ordered=True),
    Program("tee", "echo a | tee /dev/stderr", ordered=True),
    Program("bash -x", "exec bash -xc 'for i in a b; do echo $i; done'", ordered=True),
    Program("stdout closed before the end", python(CLOSES)),
    Program("both closed before the end", "exec >&- 2>&-; sleep 0.3; exit 3"),
    Program("a huge stderr", "seq 1 400000 >&2; echo done"),
    Program("both at once", "seq 1 200000 & seq 1 200000 >&2; wait"),
    Program("ulimit", "exec bash -c 'umask; ulimit -n; nice; pwd'"),
    Program("descriptors", python("import os; print([n for n in range(1024) if os.path.exists(f'/proc/self/fd/{n}')])")),
    Program("signals", "exec grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"),
    # -- exit codes
    *(Program(f"exit {code}", f"echo {code}; exit {code}")
      for code in (0, 1, 2, 3, 64, 77, 124, 125, 126, 127, 128, 130, 137, 141, 143, 254, 255)),
    *(Program(f"killed by {name}", f"echo a; kill -{name} $$") for name in
      ("KILL", "TERM", "INT", "HUP", "PIPE", "SEGV", "ABRT", "USR1", "ALRM", "XCPU")),
    Program("no such program", "no-such-program-anywhere"),
    Program("not executable", "echo x > x; ./x"),
    Program("false", "exec false"),
    Program("timeout", "exec timeout 0.2 sleep 9"),
    # -- programs
    Program("a traceback", python(TRACEBACK)),
    Program("a traceback of a group", python(GROUP)),
    Program("a warning", python("import warnings; warnings.warn('w'); print(1)"), ordered=True),
    Program("sys.exit", python("import sys; print('x'); sys.exit('bye')"), ordered=True),
    Program("logging", python("import logging; logging.warning('a'); print(2)"), ordered=True),
    Program("a progress bar", python(BAR)),
    Program("pytest", PYTEST, varies=r"in \d+\.\d+s"),
    Program("pytest in colours", PYTEST + "--color=yes", varies=r"in \d+\.\d+s"),
    Program("pytest without output", PYTEST + "-k none", varies=r"in \d+\.\d+s"),
    Program("unittest", f"exec {sys.executable} -m unittest -v no_such", varies=r"in \d+\.\d+s"),
    Program("json.tool", f"echo '{{\"a\": [1, 2' | {sys.executable} -m json.tool"),
    Program("git log", REPOSITORY + " && git log --stat --color=always", ("git",)),
    Program("git diff", REPOSITORY + " && git diff HEAD~3 --exit-code", ("git",)),
    Program("git status", REPOSITORY + " && touch x && git status --porcelain -z", ("git",)),
    Program("git bisect run", REPOSITORY + " && git bisect start HEAD HEAD~5 && git bisect run"
            " sh -c 'test $(cat n) -lt 4'", ("git",)),
    Program("git archive", REPOSITORY + " && git archive --format=tar.gz HEAD", ("git",)),
    Program("git fails", "exec git log", ("git",)),
    Program("tar", "echo x > x; exec tar cz --mtime=@0 --owner=0 --group=0 x"),
    Program("tar of nothing", "exec tar cf - no-such-file"),
    Program("xz", "seq 1 50000 | xz -9", ("xz",)),
    Program("gzip and back", "seq 1 50000 | gzip -n | gunzip | tail -n 3"),
    Program("jq", "echo '{\"a\": [1, {\"b\": \"ü\"}]}' | jq -C .", ("jq",)),
    Program("jq fails", "echo '{' | jq .", ("jq",)),
    Program("gcc", "echo 'int main(void) { return x; }' > x.c; LC_ALL=C exec gcc -c x.c", ("gcc",)),
    Program("gcc in colours", "echo 'int f( {' > x.c; exec gcc -fdiagnostics-color -c x.c", ("gcc",)),
    Program("make", "printf 'a:\\n\\techo a\\n\\techo b >&2\\n\\tfalse\\n' > Makefile; exec make a",
            ("make",), ordered=True),
    Program("curl", "exec curl -sS http://127.0.0.1:$PORT/page", ("curl",)),
    Program("curl with heads", "exec curl -i -sS http://127.0.0.1:$PORT/page", ("curl",), r"Date: .*"),
    Program("curl fails", "exec curl -sS -f http://127.0.0.1:$PORT/none", ("curl",)),
    Program("node", "exec node -e 'console.log(1); console.error(2); process.exitCode = 9'", ("node",)),
    Program("node throws", "exec node -e 'throw new Error(\"ü\")'", ("node",)),
    Program("perl", "exec perl -e 'print \"a\\n\"; warn \"w\\n\"; die \"d\\n\"'"),
    Program("awk", "seq 1 20000 | awk '{ s += $1; print s }'"),
    Program("sed", "seq 1 20000 | sed -n '/9$/{s/^/x/;p}'"),
    Program("sort", "seq 1 20000 | sort -r"),
    Program("find", "mkdir -p a/b/c; touch a/b/c/d; find . -print0 | sort -z"),
    Program("find fails", "exec find no-such-folder"),
    Program("ls in colours", "mkdir a; ln -s a b; exec ls --color=always -F"),
    Program("ls fails", "exec ls no-such-file ."),
    Program("grep finds none", "exec grep x /dev/null"),
    Program("diff", "seq 3 > a; seq 2 4 > b; exec diff a b"),
    Program("base64", "seq 1 50000 | base64 -w 0"),
    Program("dd", "exec dd if=/dev/zero bs=1000 count=300 status=none"),
    Program("seq", "exec seq 1 1000000"),
    Program("yes | head", "yes | head -n 100000; echo ${PIPESTATUS[0]}"),
    Program("cmp", "echo a > a; echo b > b; exec cmp a b"),
    Program("sha256sum -c", "echo x > x; sha256sum x > s; echo y > x; exec sha256sum -c s"),
    Program("env", "A=ü exec env -i B=2 C=$'x\\ny' env -0"),
    Program("od", "seq 1 1000 | od -c"),
    Program("cat of a file that is none", "exec cat no-such-file -"),
    Program("a shell that says why", "set -u; echo $NO_SUCH_VARIABLE"),
    Program("a syntax error", "exec sh -c 'if'"),
]  # fmt: skip


class Pages(http.server.BaseHTTPRequestHandler):
    """One page, in chunks of bytes that are no text."""

    def do_GET(self) -> None:
        page = bytes(range(256)) * 40 if self.path == "/page" else b""
        self.send_response(200 if page else 404)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass

    def log_error(self, *_said: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a web server on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def environment_in(home: Path, port: int) -> dict[str, str]:
    """What all of them are called with; nothing in it is the user's."""
    for name in ("state", "run"):
        (home / name).mkdir(parents=True, mode=0o700)
    who = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
           (("NAME", "a"), ("EMAIL", "a@example.org"), ("DATE", "2026-01-01T00:00:00Z"))}  # fmt: skip
    return {
        **who, "PATH": os.environ["PATH"], "HOME": str(home), "PORT": str(port),
        "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "GIT_CONFIG_NOSYSTEM": "1", "TERM": "xterm",
        "XDG_STATE_HOME": str(home / "state"), "XDG_RUNTIME_DIR": str(home / "run"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def by_the_daemon(
    homes: Any, free_ports: Iterator[int], port: int
) -> Iterator[dict[str, str]]:
    """The environment in which a daemon is found."""
    home = homes.move_in() / "d"
    environ = environment_in(home, port)
    number, log = next(free_ports), home / "daemon.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*PENSTOCK, "serve", "--port", str(number)],
            env=environ, cwd=home, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    daemon = RealDaemon(process, number, environ, log)
    try:
        wait_until_answering(daemon)
        yield environ
    finally:
        daemon.stop()


@pytest.fixture(scope="module")
def embedded(homes: Any, port: int) -> dict[str, str]:
    """The environment in which none is found."""
    return environment_in(homes.move_in() / "e", port)


def ended(
    argv: list[str], environ: dict[str, str], folder: Path, streams: str
) -> tuple[int, bytes, bytes]:
    """How it ended, as `$?` has it, and what it wrote."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    err = subprocess.STDOUT if streams == TOGETHER else subprocess.PIPE
    done = subprocess.run(
        argv, env={**environ, "PWD": str(folder)}, cwd=folder, timeout=PATIENCE,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
    )  # fmt: skip
    code = done.returncode
    return 128 - code if code < 0 else code, done.stdout, done.stderr or b""


#: Each embedded takes a second of its own, and goes the same way from there on: half of them do.
WAYS = [
    pytest.param(where, program, id=f"{where}-{program.name}")
    for where, programs in (
        ("by_the_daemon", PROGRAMS),
        ("embedded", PROGRAMS[::2]),
    )
    for program in programs
]


def without(
    told: tuple[int, bytes, bytes], pattern: re.Pattern[bytes]
) -> tuple[int, bytes, bytes]:
    code, out, err = told
    return code, pattern.sub(b"", out), pattern.sub(b"", err)


@pytest.mark.parametrize(("where", "program"), WAYS)
def test_a_run_is_the_program(
    program: Program, where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """PT-06 CL-02"""
    if missing := [name for name in program.needs if shutil.which(name) is None]:
        pytest.skip(f"{' and '.join(missing)} is not on this box")
    environ = request.getfixturevalue(where)
    argv = ["bash", "-c", program.line]
    # What pytest ignores, as a script's `&` has it ignore, the program itself would ignore too.
    bare = ["env", "--default-signal", *argv]
    run = partial(ended, environ=environ, folder=tmp_path / "here")
    varies = re.compile(program.varies.encode() or rb"(?!)")
    for streams in (APART, TOGETHER) if program.ordered else (APART,):
        itself = without(run(bare, streams=streams), varies)
        whole = run([*PENSTOCK, "run", "command", "--", *argv], streams=streams)
        # Only who ends by a signal is told in words besides.
        told = without(whole, OURS) if itself[0] > 128 else whole
        assert without(told, varies) == itself, whole


#: More than all that holds output on its way, with the ring and the window that is kept; twice over.
MUCH = length(100_000_000, 1_000_000_000)
MUCH_LINE = "yes 0123456789012345678901234567890123456789 | head -c"


@pytest.mark.parametrize("where", ["by_the_daemon", "embedded"])
def test_however_much_is_printed_all_of_it_comes_through_a_pipe(
    where: str, request: pytest.FixtureRequest
) -> None:
    """PT-04 PT-06: and faster than it can be recorded."""
    digests = []
    for began in ([], [*PENSTOCK, "run", "command", "--"]):
        argv = [*began, "bash", "-c", f"{MUCH_LINE} {MUCH}; exit 3"]
        with subprocess.Popen(
            argv, env=request.getfixturevalue(where), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            digest = hashlib.sha256()
            while piece := process.stdout.read(1 << 20):
                digest.update(piece)
            said = process.stderr.read().decode()
            digests.append((digest.hexdigest(), process.wait(PATIENCE), said))
    assert digests[0] == digests[1]
    assert digests[0][1:] == (3, "")
