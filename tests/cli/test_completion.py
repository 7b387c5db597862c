"""CL-03: what Tab offers, by verb, and in real shells; completions and man page are made from the commands."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from fakes.real_daemon import RealDaemon
from penstock.cli.completing import SCRIPTS, LineComplete
from penstock.cli.main import ALIASES, VERBS, cli

#: Seconds until a shell must have said something; a loaded box may take its time.
PATIENCE = 60
SHELLS = {
    "bash": ["bash", "--noprofile", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": [
        "fish",
        "--no-config",
        "--interactive",
        "-C",
        "source {script}; function fish_prompt; echo -n 'ready> '; end",
    ],
}
BEGIN = {
    "bash": "bind 'set enable-bracketed-paste off'; . {script}; PS1='ready> '\n",
    "zsh": "autoload -U compinit; compinit -u -d {folder}/dump; . {script}; PS1='ready> '\n",
    "fish": "\n",
}


def offered(line: str, monkeypatch: pytest.MonkeyPatch, **others: str) -> list[str]:
    """What is offered at the end of this line."""
    monkeypatch.setenv("COMP_LINE", line)
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    completer = LineComplete(cli, {}, "penstock", "_PENSTOCK_COMPLETE")
    rows = completer.complete().splitlines()
    return [row.split("\t")[1] for row in rows]


def test_a_verb_offers_only_runs_that_it_can_do_something_with(
    daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-03: `cancel` offers no ended run, and `retry` no open one."""
    daemon.submit("sleep", {"fail": True}, run_id="ended")
    daemon.wait_ended("ended")
    daemon.start("open")
    assert offered("penstock cancel ", monkeypatch) == ["open"]
    assert offered("penstock kill ", monkeypatch) == ["open"]
    assert offered("penstock retry ", monkeypatch) == ["ended"]
    assert offered("penstock wait ", monkeypatch) == ["open"]
    assert offered("penstock show ", monkeypatch) == ["open", "ended"]
    assert offered("penstock add --after ", monkeypatch) == ["open"]
    assert offered("penstock show 2", monkeypatch) == ["2"]
    assert offered("penstock pause ", monkeypatch) == ["open"]
    assert offered("penstock resume ", monkeypatch) == []
    daemon.submit("echo", run_id="aside", stashed=True)
    assert offered("penstock priority ", monkeypatch) == ["aside"]
    assert offered("penstock priority aside h", monkeypatch) == ["high"]


def test_schedules_are_offered_by_name(
    penstock: Penstock, daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-03: and one that rings is refused, for nobody would hear each of its runs."""
    told = penstock("every", "1d", "--name", "nightly", "--", "true")
    assert told.exit_code == 0, told.stderr
    assert offered("penstock schedules --remove n", monkeypatch) == ["nightly"]
    told = penstock("every", "1d", "--notify", "--name", "loud", "--", "true")
    assert told.exit_code == 2
    assert "--notify: is for one run" in told.stderr
    assert offered("penstock schedules --remove ", monkeypatch) == ["nightly"]


def test_a_run_that_nobody_has_named_is_offered_by_its_number(
    daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-03: its id is offered to whoever has begun to type it."""
    daemon.submit("echo", run_id="r-0123456789ab")
    assert offered("penstock cancel ", monkeypatch) == ["1"]
    assert offered("penstock cancel r-0", monkeypatch) == ["r-0123456789ab"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("penstock cancel @f", ["@failed"]),
        ("penstock list state:f", ["state:failed"]),
        ("penstock cancel sta", ["state:"]),
        ("penstock cancel prio:b", ["prio:background"]),
        ("penstock list 'state:open gr", ["state:open group:"]),
        ("penstock submit --group ", ["disk"]),
        ("penstock submit --group=d", ["--group=disk"]),
        ("penstock pause -g ", ["disk"]),
        ("penstock slots 2 --group ", ["disk"]),
        ("penstock run --prio", ["--priority"]),
        ("penstock add te", ["test"]),
        ("penstock run make --j", ["make"]),
        ("penstock events --type run.com", ["run.completed"]),
        ("penstock completions --in", ["--install"]),
        ("penstock answer alpha y", ["yes"]),
        ("penstock artifacts alpha s", ["summary"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_words_of_every_sort_are_offered(
    daemon: HouseBeside,
    line: str,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """CL-03: filters, groups, presets, texts, answers, and nothing of ours behind a program."""
    (tmp_path / ".penstock.toml").write_text('[presets.test]\nrun = "make"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("penstock.cli.offers._groups", lambda _session: ["disk"])
    view = {
        "artifacts": [{"artifact_id": "summary"}],
        "asks": [{"answer": None, "question": "so?", "choices": ["yes", "no"]}],
    }
    if "alpha" in line:
        monkeypatch.setattr("penstock.cli.offers._view", lambda _session, word: view if word == "alpha" else {})  # fmt: skip
    assert offered(line, monkeypatch) == words


def test_bash_gets_what_it_puts_behind_its_own_ends_of_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CL-03: it takes a colon for the end of a word, unless that stands in quotes."""
    line = "penstock list state:f"
    assert offered(line, monkeypatch, COMP_CUR="f") == ["failed"]
    assert "failed" in offered("penstock list state:", monkeypatch, COMP_CUR=":")
    line = "penstock list 'state:f"
    assert offered(line, monkeypatch, COMP_CUR="'state:f") == ["state:failed"]


def test_an_id_that_a_shell_would_not_take_as_it_is_is_not_offered(
    daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-03: what is put into a line may be carried out."""
    for run_id in ("a;reboot", "a b", "a$(x)", "a'b", "good"):
        daemon.submit("echo", run_id=run_id)
    assert offered("penstock cancel ", monkeypatch) == ["good"]


def test_what_goes_wrong_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """CL-03: no daemon, no folder, no verb; and never a traceback in the midst of a line."""
    for line in ("penstock cancel ", "penstock nope ", "penstock submit --group ", "", "penstock --url x show "):  # fmt: skip
        assert [word for word in offered(line, monkeypatch) if "alpha" in word] == []


def test_install_writes_the_script_and_the_man_page_and_says_where(
    penstock: Penstock, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-03: for the shell of whoever calls it, or the one that is named; again is an upgrade."""
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    page = home / ".local/share/man/man1/penstock.1"
    script = home / ".config/fish/completions/penstock.fish"
    for _ in range(2):
        result = penstock("completions", "--install")
        assert result.stdout.split() == [str(script), str(page)]
        assert script.read_text() == SCRIPTS["fish"].read_text()
    penstock("completions", "--install", "zsh")
    assert (home / ".local/share/zsh/site-functions/_penstock").exists()
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    refused = penstock("completions", "--install")
    assert (refused.exit_code, "say which shell" in refused.stderr) == (2, True)


def test_the_man_page_has_every_verb_and_option(penstock: Penstock) -> None:
    """CL-03: it is made from the commands."""
    page = penstock("completions", "--man").stdout
    for verb in (verb for verbs in VERBS.values() for verb in verbs):
        short = next((f" ({a})" for a, head in ALIASES.items() if head == verb), "")
        assert f".SS {verb}{short}\n" in page
    for option in (r"\-\-tombstone", r"\-\-env\-file", r"\-\-install"):
        assert option in page
    assert "Example: penstock cancel" in page or "penstock cancel 12" in page


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("man") is None, reason="no man here")
def test_man_finds_nothing_wrong_with_the_page(penstock: Penstock, tmp_path: Path) -> None:  # fmt: skip
    """CL-03"""
    page = tmp_path / "penstock.1"
    page.write_text(penstock("completions", "--man").stdout)
    done = subprocess.run(
        ["man", "-l", "--warnings", str(page)], capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "MANPAGER": "cat", "MANWIDTH": "80"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "cancel (kill)" in done.stdout


class ShellOnTerminal:
    """An interactive shell on a terminal, that is typed into."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.screen = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str) -> str:
        """Wait until it has been shown since the last wait; what it matched."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self.screen)) is None:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._master], [], [], max(0, left))
            assert ready, f"{pattern!r} did not come: {self.screen!r}"
            text = os.read(self._master, 65536).decode(errors="replace")
            self.screen += re.sub(r"\x1b(\[[0-9;?=>]*[a-zA-Z]|[=>(][B0]?|\][^\x07]*\x07)", "", text)  # fmt: skip
        self.screen = self.screen[found.end() :]
        return found[0]


@contextmanager
def open_shell(name: str, folder: Path) -> Iterator[ShellOnTerminal]:
    """It has our completion; a `penstock` that is not asked to complete only says how it was called."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "penstock"
    program.write_text(
        f'#!/bin/sh\n[ -n "$_PENSTOCK_COMPLETE" ] && exec {sys.executable} -m penstock.cli.main\n'
        'echo "called with: $*."\n'
    )
    program.chmod(0o755)
    words = [word.format(script=SCRIPTS[name]) for word in SHELLS[name]]
    master, slave = pty.openpty()
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    process = subprocess.Popen(
        ["setsid", "--ctty", *words], stdin=slave, stdout=slave, stderr=slave, cwd=folder,
        env={**os.environ, "TERM": "xterm", "PATH": path, "PS1": "> ", "COLUMNS": "200"},
    )  # fmt: skip
    os.close(slave)
    shell = ShellOnTerminal(master)
    try:
        shell.type(BEGIN[name].format(script=SCRIPTS[name], folder=folder))
        shell.wait_for(r"(?s)PS1='ready> '.*ready> |^(?!.*PS1).*ready> .*ready> ")
        yield shell
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("name", SHELLS)
def test_a_real_shell_completes(
    real_daemon: RealDaemon, name: str, tmp_path: Path
) -> None:
    """CL-03: words with a colon and an @ too, and behind a program the names of files."""
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    command = [sys.executable, "-m", "penstock.cli.main", "submit", "command", "--id"]
    for run_id, *program in (("alpha", "sleep", "600"), ("aleph", "true")):
        subprocess.run([*command, run_id, "--", *program], check=True, timeout=PATIENCE)
    subprocess.run([*command[:-3], "wait", "aleph"], check=True, timeout=PATIENCE)
    (tmp_path / "some-file").touch()
    with open_shell(name, tmp_path) as shell:
        for typed, called in (
            ("penstock canc\t al\t", "cancel alpha"),
            ("penstock kill @fai\t", "kill @failed"),
            ("penstock list state:comp\t", "list state:completed"),
            ("penstock submit --prio\t hig\t", "submit --priority high"),
            ("penstock run cat som\t", "run cat some-file"),
        ):
            first, tab, rest = typed.partition("\t")
            shell.type(first + tab)
            if rest:
                # What is typed while a shell looks for completions may be lost.
                shell.wait_for(re.escape(called.split()[-2][-3:]))
                shell.type(rest.lstrip())
            shell.wait_for(re.escape(called.split()[-1][-3:]))
            shell.type("\n")
            shell.wait_for(rf"called with: {re.escape(called)} *\.")
            shell.wait_for("ready> ")
