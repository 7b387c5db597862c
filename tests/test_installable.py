"""CL-04: what is built holds everything, and is installed into a clean environment as people do it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.processes]

ROOT = Path(__file__).parent.parent
#: Folders of the source, and what stands before the names of their files in a wheel.
PACKAGES = ("daemon/penstock", "daemon/penstock_drills", "tui/penstock_tui")
#: What lies beside the packages, for shells, `man` and systemd.
SHARED = (
    "share/bash-completion/completions/penstock",
    "share/fish/vendor_completions.d/penstock.fish",
    "share/man/man1/penstock.1",
    "share/systemd/user/penstock.service",
    "share/systemd/user/penstock.socket",
    "share/zsh/site-functions/_penstock",
)
#: Seconds for an installation: a hundred packages may have to be fetched.
PATIENCE = 900


def call(
    argv: Sequence[object], environ: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, argv)), env=dict(environ), cwd=cwd, capture_output=True, text=True, timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `uv` and `pipx`, fetched for the purpose."""
    folder = tmp_path_factory.mktemp("tools")
    python = folder / "bin" / "python"
    call([sys.executable, "-m", "venv", "--without-pip", folder], os.environ, folder)
    base = Path(sys.base_prefix) / "bin" / "python3"
    words = [base, "-m", "pip", "--python", python, "install", "--quiet", "uv", "pipx"]
    done = call(words, os.environ, folder)
    if done.returncode:
        pytest.skip(f"uv and pipx cannot be fetched here: {done.stderr[-300:]}")
    return folder / "bin"


@pytest.fixture(scope="module")
def built(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the source distribution, and of the wheel that is made of it and of nothing else."""
    folder = tmp_path_factory.mktemp("dist")
    done = call([tools / "uv", "build", "--out-dir", folder, ROOT], os.environ, folder)
    assert done.returncode == 0, done.stderr
    return folder


def tracked() -> set[str]:
    """The files of the packages, as a wheel calls them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True,
        timeout=PATIENCE,
    ).stdout.split("\0")  # fmt: skip
    return {name.partition("/")[2] for name in listed if name and (ROOT / name).exists()}  # fmt: skip


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(
    built: Path,
) -> None:
    """CL-04: pages, styles, the scripts of the shells and the man page too."""
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    inside = {name for name in names if name.split("/")[0] in ("penstock", "penstock_drills", "penstock_tui")}  # fmt: skip
    assert inside == tracked()
    assert "penstock/cli/shells/penstock.bash" in inside
    shared = {name.partition(".data/data/")[2] for name in names if ".data/" in name}
    assert shared == set(SHARED)


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    """CL-04: it has the tests and the documents that they read."""
    [source] = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("README.md", "CHANGELOG.md", "Makefile", "tests/conftest.py", "docs/running.md"):  # fmt: skip
        assert name in names


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def user_home() -> Iterator[Path]:
    """A home of its own, with a short name: the path of a Unix socket has room for a hundred characters."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def try_it(bin_folder: Path, home: Path) -> None:
    """The commands of one who has just installed it, in an environment that has nothing else."""
    runtime = home / "run"
    runtime.mkdir(mode=0o700, parents=True)
    environ = {
        "HOME": str(home), "PATH": f"{bin_folder}:/usr/bin:/bin", "XDG_RUNTIME_DIR": str(runtime),
        "LANG": "C.UTF-8",
    }  # fmt: skip

    def penstock(*words: str) -> str:
        done = call([bin_folder / "penstock", *words], environ, home)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    assert penstock("--version").startswith("penstock, version ")
    assert penstock("run", "--", "echo", "hello") == "hello\n"
    # The extra.
    assert "--theme" in penstock("tui", "--help")
    assert call([bin_folder / "penstock-tui", "--help"], environ, home).returncode == 0
    written = penstock("completions", "--install", "bash").split()
    assert [Path(name).exists() for name in written] == [True, True]
    assert "ExecStart=" in _unit(bin_folder)
    words = [str(bin_folder / "penstock"), "serve", "--port", str(free_port())]
    daemon = subprocess.Popen(words, env=environ, cwd=home, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert daemon.stderr is not None
    try:
        while "ready at" not in (line := daemon.stderr.readline()):
            assert line, "the daemon ended"
        run_id = penstock("add", "--name", "first", "true").strip()
        assert penstock("wait", "1").split() == [run_id, "completed"]
        assert "1 first" in penstock("show", "@last")
        penstock("shutdown", "--cancel-all")
        daemon.stderr.read()
        assert daemon.wait(PATIENCE) == 0
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stderr.close()


def _unit(bin_folder: Path) -> str:
    """The unit that was installed beside the program, wherever its environment is."""
    environment = (bin_folder / "penstock").resolve().parent.parent
    unit = environment / "share" / "systemd" / "user" / "penstock.service"
    return unit.read_text()


def test_uv_tool_install(tools: Path, tmp_path: Path, user_home: Path) -> None:
    """CL-04: `uv tool install .`, with the extra."""
    environ = {
        **os.environ,
        "UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
    }  # fmt: skip
    words = [tools / "uv", "tool", "install", "--quiet", "--python", sys.executable, ".[tui]"]  # fmt: skip
    done = call(words, environ, ROOT)
    assert done.returncode == 0, done.stderr
    try_it(tmp_path / "bin", user_home)


def test_pipx_install(tools: Path, tmp_path: Path, user_home: Path) -> None:
    """CL-04: `pipx install .`, with the extra; it hands the man page on."""
    environ = {
        **os.environ,
        "PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"), "PIPX_DEFAULT_PYTHON": sys.executable,
    }  # fmt: skip
    done = call([tools / "pipx", "install", "--quiet", ".[tui]"], environ, ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "man" / "man1" / "penstock.1").exists()
    try_it(tmp_path / "bin", user_home)


def test_the_wheel_in_a_plain_environment(
    tools: Path, built: Path, tmp_path: Path, user_home: Path
) -> None:
    """CL-04: without the extra the dashboard says what it lacks, and all else works."""
    [wheel] = built.glob("*.whl")
    venv = tmp_path / "venv"
    for words in (
        ["venv", "--quiet", "--python", sys.executable, str(venv)],
        ["pip", "install", "--quiet", "--python", str(venv / "bin/python"), str(wheel)],
    ):
        done = call([tools / "uv", *words], os.environ, tmp_path)
        assert done.returncode == 0, done.stderr
    home = user_home
    environ = {"HOME": str(home), "PATH": f"{venv / 'bin'}:/usr/bin:/bin"}
    done = call([venv / "bin/penstock", "run", "--", "echo", "hello"], environ, home)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    done = call([venv / "bin/penstock", "tui"], environ, home)
    assert done.returncode not in (0, 70), done.stderr
    assert "tui" in done.stderr
    assert "Traceback" not in done.stderr
