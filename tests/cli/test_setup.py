"""CL-01: configuration, token and completion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.cli.main import cli


def test_every_setting_tells_where_it_came_from(
    penstock: Penstock, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "config" / "penstock" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("max_concurrent = 7\n[models]\nconcurrency = 2\n")
    monkeypatch.setenv("PENSTOCK_PORT", "1234")
    rows = {
        row["key"]: (row["value"], row["source"])
        for row in map(json.loads, penstock("config", "--json").stdout.splitlines())
    }
    assert rows["max_concurrent"] == (7, str(file))
    assert rows["models.concurrency"] == (2, str(file))
    assert rows["port"] == (1234, "environment")
    assert rows["host"] == ("127.0.0.1", "default")
    assert penstock("config", "no_such_key").exit_code == 3


def test_a_setting_that_is_named_says_what_it_is(penstock: Penstock) -> None:
    """CL-01: on stderr, since it is no data; with --json beside the value."""
    told = penstock("config", "cancel_sla")
    assert told.stdout.splitlines()[1].split() == ["cancel_sla", "5.0", "default"]
    about = "penstock: cancel_sla: Time from a cancel to its proof; "
    assert about in told.stderr
    assert "(seconds; default: 5.0)" in told.stderr
    row = json.loads(penstock("config", "cancel_sla", "--json").stdout)
    assert (row["unit"], row["default"]) == ("seconds", "5.0")
    assert row["reason"].startswith("Time from a cancel to its proof")


def test_the_place_of_the_config_file_is_told_also_before_there_is_one(
    penstock: Penstock, home: Path
) -> None:
    file = home / "config" / "penstock" / "config.toml"
    assert f"{file}, and there is none yet" in penstock("config").stderr
    file.parent.mkdir(parents=True)
    file.touch()
    assert penstock("config").stderr == f"penstock: the config file is {file}\n"


def test_a_broken_config_is_one_sentence(penstock: Penstock, home: Path) -> None:
    file = home / "config" / "penstock" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("prot = 1\n")
    result = penstock("config")
    assert result.exit_code != 0
    assert "did you mean 'port'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_token_is_shown_only_on_request_and_replaced_by_rotation(
    penstock: Penstock, home: Path
) -> None:
    assert penstock("token", "show", "--show").exit_code == 3
    assert penstock("token", "rotate").exit_code == 0
    file = Path(penstock("token").stdout.strip())
    secret = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    assert penstock("token", "show").exit_code == 2
    assert penstock("token", "show", "--show").stdout.strip() == secret
    rotated = penstock("token", "rotate").output
    assert secret not in rotated
    assert "next start" in rotated
    assert penstock("token", "show", "--show").stdout.strip() != secret


@pytest.mark.processes
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_completion(penstock: Penstock, shell: str) -> None:
    result = penstock("completions", shell)
    assert result.exit_code == 0
    assert "_PENSTOCK_COMPLETE" in result.stdout


def complete(args: list[str], incomplete: str) -> list[str]:
    from click.shell_completion import BashComplete

    completer = BashComplete(cli, {}, "penstock", "_PENSTOCK_COMPLETE")
    return [item.value for item in completer.get_completions(args, incomplete)]


def test_ids_kinds_and_verbs_are_completed(daemon: HouseBeside) -> None:
    for run_id in ("ab", "b"):
        daemon.start(run_id)
    assert complete(["show"], "a") == ["ab"]
    assert "llms-txt" in complete(["run"], "")
    assert complete([], "shut") == ["shutdown"]


def test_completion_is_silent_without_a_daemon() -> None:
    assert complete(["show"], "") == []
