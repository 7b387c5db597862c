"""`penstock mcp config`: what each host reads, pasted or written into its own file."""

from __future__ import annotations

import json
import os
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fakes.penstock_command import Penstock
from penstock.cli.host_files import with_entry, write_entry
from penstock.cli.mcp_hosts import HOSTS, Launch, Port, snippet
from penstock.words.errors import Refused

LAUNCH = Launch("/opt/it's here/penstock", ("mcp",), {"XDG_STATE_HOME": '/a "b"'})
PORT = Port("http://127.0.0.1:9876/mcp", "/opt/penstock token header")
WAYS: dict[str, Launch | Port] = {"stdio": LAUNCH, "http": PORT}
every_host = pytest.mark.parametrize("host", sorted(HOSTS))
every_way = pytest.mark.parametrize("way", sorted(WAYS))


def parsed(host: str, text: str) -> Any:
    """The server's entry in what was printed or written."""
    if host == "claude" and text.startswith("claude "):
        words = shlex.split(text)
        assert words[:4] == ["claude", "mcp", "add-json", "penstock"]
        return json.loads(words[4])
    document = tomllib.loads(text) if HOSTS[host].toml else json.loads(text)
    for name in HOSTS[host].place:
        document = document[name]
    return document["penstock"]


@every_way
@every_host
def test_what_is_pasted_says_what_it_should_after_the_shell_and_the_host_read_it(
    host: str, way: str
) -> None:
    """APP-09"""
    entry = parsed(host, snippet(HOSTS[host], WAYS[way]))
    if way == "http":
        assert PORT.url in {entry.get("url"), entry.get("httpUrl")}
        return
    command = entry["command"]
    command = command if isinstance(command, list) else [command, *entry["args"]]
    assert command == [LAUNCH.program, "mcp"]
    told = entry.get("env") or entry["environment"]
    assert told == LAUNCH.environ


def test_codex_does_not_go_on_without_the_tools(penstock: Penstock) -> None:
    """APP-09: and passes on what says where the daemon is."""
    entry = parsed("codex", penstock("mcp", "config", "codex").stdout)
    assert entry["required"] is True
    assert {"XDG_RUNTIME_DIR", "XDG_STATE_HOME"} <= set(entry["env_vars"])
    assert Path(entry["command"]).is_absolute()


@every_way
def test_claude_does_not_ask_its_model_without_the_tools(way: str) -> None:
    """APP-09: it asks at once, but for a server that is to be there always."""
    assert parsed("claude", snippet(HOSTS["claude"], WAYS[way]))["alwaysLoad"] is True


def test_claude_asks_for_the_header_when_it_connects(
    penstock: Penstock, home: Path
) -> None:
    """APP-09, API-08: no file of a host holds the token."""
    folder = home / "state" / "penstock"
    folder.mkdir(parents=True)
    (folder / "token").write_text("a-secret")
    (folder / "token").chmod(0o600)
    for host in HOSTS:
        told = penstock("--url", "http://127.0.0.1:1234", "mcp", "config", host, "--http")  # fmt: skip
        assert "http://127.0.0.1:1234/mcp" in told.stdout
        assert "a-secret" not in told.output
    entry = parsed("claude", penstock("mcp", "config", "claude", "--http").stdout)
    assert shlex.split(entry["headersHelper"])[1:] == ["token", "header"]
    told = penstock("token", "header")
    assert json.loads(told.stdout) == {"Authorization": "Bearer a-secret"}
    told = penstock("--url", "unix:/tmp/x.sock", "mcp", "config", "cursor")
    assert parsed("cursor", told.stdout)["args"] == ["--url", "unix:/tmp/x.sock", "mcp"]


def test_without_a_token_no_header_is_made_up(penstock: Penstock) -> None:
    told = penstock("token", "header")
    assert told.exit_code == 3
    assert told.stdout == ""


@every_way
@pytest.mark.parametrize("host", sorted(set(HOSTS) - {"json"}))
def test_a_hosts_file_gets_the_entry_once_and_keeps_the_rest(
    host: str, way: str
) -> None:
    """APP-09"""
    before = '[model]\nname = "x"  # mine\n' if HOSTS[host].toml else '{"model": {"name": "x"}}'  # fmt: skip
    after = with_entry(HOSTS[host], WAYS[way], before, "file")
    assert after is not None
    assert parsed(host, after) == parsed(host, snippet(HOSTS[host], WAYS[way]))
    assert with_entry(HOSTS[host], WAYS[way], after, "file") is None
    rest = tomllib.loads(after) if HOSTS[host].toml else json.loads(after)
    assert rest["model"] == {"name": "x"}
    other = with_entry(HOSTS[host], PORT if way == "stdio" else LAUNCH, after, "file")
    assert other is not None
    assert parsed(host, other) != parsed(host, after)
    assert with_entry(HOSTS[host], WAYS[way], "", "file") is not None


def test_a_table_is_replaced_where_it_stands_and_comments_stay() -> None:
    """APP-09"""
    before = (
        '# mine\nmodel = "x"\n\n[mcp_servers.penstock]\ncommand = "old"\n'
        '[mcp_servers.penstock.env]\nA = "1"\n\n[mcp_servers.other]\ncommand = "o" # theirs\n'
    )
    after = with_entry(HOSTS["codex"], LAUNCH, before, "file")
    assert after is not None
    assert after.startswith("# mine\n")
    assert "# theirs" in after
    assert tomllib.loads(after)["mcp_servers"]["other"] == {"command": "o"}
    assert parsed("codex", after)["command"] == LAUNCH.program


@pytest.mark.parametrize(
    ("host", "before"),
    [
        ("zed", '{\n  // a comment\n  "theme": "x"\n}'),
        ("cursor", "[]"),
        ("cursor", '{"mcpServers": []}'),
        ("codex", "= nonsense"),
        ("codex", 'mcp_servers = { penstock = { command = "x" } }\n'),
    ],
)
def test_a_file_that_is_not_understood_is_left_alone(host: str, before: str) -> None:
    """APP-09"""
    with pytest.raises(Refused, match="file: "):
        with_entry(HOSTS[host], LAUNCH, before, "file")


def test_writing_keeps_the_file_before_beside_it(
    penstock: Penstock, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """APP-09: through links, with its rights; the second time nothing happens."""
    monkeypatch.setenv("HOME", str(home))
    kept = home / "dotfiles.json"
    kept.write_text('{"theme": "x"}')
    kept.chmod(0o640)
    file = home / ".gemini" / "settings.json"
    file.parent.mkdir()
    file.symlink_to(kept)
    told = penstock("mcp", "config", "gemini", "--write")
    assert "has it now" in told.stderr
    assert file.is_symlink()
    assert json.loads(kept.read_text())["theme"] == "x"
    assert kept.stat().st_mode & 0o777 == 0o640
    backup = home / "dotfiles.json.before-penstock"
    assert backup.read_text() == '{"theme": "x"}'
    backup.write_text("looked at")
    told = penstock("mcp", "config", "gemini", "--write")
    assert "has it already" in told.stderr
    assert backup.read_text() == "looked at"
    assert penstock("mcp", "config", "json", "--write").exit_code == 2


def test_a_fifo_where_a_hosts_file_should_be_is_refused_at_once(tmp_path: Path) -> None:
    """To open it would wait for ever; a large file is read, since some hosts keep much in theirs."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Refused, match="no regular file"):
        write_entry(HOSTS["claude"], LAUNCH, tmp_path / "fifo")
    large = tmp_path / "large.json"
    large.write_text(json.dumps({"history": ["x" * 1_000_000] * 3}))
    assert write_entry(HOSTS["claude"], LAUNCH, large)
    assert len(json.loads(large.read_text())["history"]) == 3
