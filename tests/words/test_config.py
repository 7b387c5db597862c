"""Every limit has a number, and every mistake in the configuration one sentence."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from configuration_document import DOCUMENT, document
from penstock.cli.config import config_keys, find_key
from penstock.words.config import Config
from penstock.words.config_sources import config_path, load_config, load_folders
from penstock.words.errors import StartRefused


def load(
    tmp_path: Path,
    text: str = "",
    environ: dict[str, str] | None = None,
    flags: dict[str, Any] | None = None,
) -> tuple[Config, dict[str, str]]:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_config(environ or {}, flags, path)


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    """APP-03, APP-05, SC-01, SC-03"""
    config, sources = load_config({"HOME": str(tmp_path)})
    assert config == Config()
    assert sources == {}
    assert (config.host, config.port, config.auth) == ("127.0.0.1", 9876, True)
    assert (config.queue_capacity, config.max_concurrent) == (100, 5)
    assert config.models.provider is None


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    """Design 9: precedence, and where each value came from."""
    text = "port = 1\nmax_concurrent = 2\nqueue_capacity = 3\n"
    environ = {"PENSTOCK_PORT": "11", "PENSTOCK_MAX_CONCURRENT": "12"}
    config, sources = load(tmp_path, text, environ, {"port": 21, "host": None})
    assert (config.port, config.max_concurrent, config.queue_capacity) == (21, 12, 3)
    assert config.host == "127.0.0.1"
    assert sources == {
        "port": "flag",
        "max_concurrent": "environment",
        "queue_capacity": str(tmp_path / "config.toml"),
    }


def test_nested_keys_come_from_the_environment_by_two_underscores(
    tmp_path: Path,
) -> None:
    """Design 7"""
    environ = {
        "PENSTOCK_MODELS__PROVIDER": "ollama",
        "PENSTOCK_MODELS__URL": "http://127.0.0.1:11434",
        "PENSTOCK_MODELS__CHAIN": '["mistral:7b","qwen3:8b"]',
    }
    text = "[models]\nprovider = 'openai'\nconcurrency = 2\n[models.windows]\n'mistral:7b' = 8192\n"
    config, sources = load(tmp_path, text, environ)
    assert config.models.provider == "ollama"
    assert config.models.chain == ("mistral:7b", "qwen3:8b")
    assert config.models.windows == {"mistral:7b": 8192}
    assert config.models.concurrency == 2
    assert sources["models.provider"] == "environment"
    assert sources["models.concurrency"].endswith("config.toml")


@pytest.mark.parametrize("name", ["CONFIG", "URL", "TOKEN", "RUN_ID", "NO_SUCH_THING"])
def test_names_for_clients_are_no_keys(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, "", {f"PENSTOCK_{name}": "x"})[0] == Config()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "unknown key 'prot'; did you mean 'port'?"),
        ("[models]\nchian = []", "did you mean 'models.chain'?"),
        ("port = 'x'", "port"),
        ("port = 70000", "port"),
        ("queue_capacity = 0", "queue_capacity"),
        ("cancel_sla = -1", "cancel_sla"),
        ("cancel_sla = nan", "cancel_sla"),
        ("stall_timeout = inf", "stall_timeout"),
        ("log_level = 'loud'", "log_level"),
        ("[models]\nprovider = 'x'", "models.provider"),
        ("port = ", "cannot be read"),
        (
            "[groups]\ngpu = 1",
            "groups.gpu: must be a table, as [groups.gpu] begins one",
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_that_names_it(
    tmp_path: Path, text: str, told: str
) -> None:
    """APP-02"""
    with pytest.raises(StartRefused) as refusal:
        load(tmp_path, text)
    sentence = str(refusal.value)
    assert told in sentence
    assert "config.toml" in sentence
    assert "pydantic" not in sentence


def test_a_mistake_in_the_environment_is_said_to_be_there(tmp_path: Path) -> None:
    """APP-02"""
    with pytest.raises(StartRefused, match="environment: port"):
        load(tmp_path, "", {"PENSTOCK_PORT": "many"})


@pytest.mark.parametrize(
    "environ",
    [
        {"PENSTOCK_MODELS": "x", "PENSTOCK_MODELS__URL": "u"},
        {"PENSTOCK_MODELS__URL": "u", "PENSTOCK_MODELS": "x"},
        {"PENSTOCK_PORT__X": "1"},
        {"PENSTOCK_MODELS__": "1"},
        {"PENSTOCK_HOST": "7"},
    ],
)
def test_odd_names_and_values_of_the_environment_are_refused_and_crash_nothing(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """APP-02"""
    with pytest.raises(StartRefused):
        load(tmp_path, "", environ)


def test_a_named_config_file_must_exist(tmp_path: Path) -> None:
    """APP-02"""
    missing = tmp_path / "none.toml"
    environ = {"PENSTOCK_CONFIG": str(missing)}
    assert config_path(environ) == missing
    with pytest.raises(StartRefused, match=r"none\.toml does not exist"):
        load_config(environ)


def test_the_config_file_is_looked_for_where_xdg_says() -> None:
    """Design 9"""
    assert config_path({"XDG_CONFIG_HOME": "/c"}) == Path("/c/penstock/config.toml")
    assert config_path({"HOME": "/h"}) == Path("/h/.config/penstock/config.toml")


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        (None, {}),
        ("", {}),
        ("port = 1\n", {}),
        ('state_dir = "/f"\nruntime_dir = "/g"\n', {}),
        ('state_dir = "/f"\n', {"PENSTOCK_STATE_DIR": "/e", "PENSTOCK_PORT": "1"}),
        (None, {"PENSTOCK_RUNTIME_DIR": "/e", "PENSTOCK_URL": "http://127.0.0.1:1"}),
        (None, {"PENSTOCK_TOKEN": "t", "PENSTOCK_OF_ANOTHER": "x"}),
    ],
)
def test_the_folders_are_those_of_the_whole_configuration(
    tmp_path: Path, text: str | None, environ: dict[str, str]
) -> None:
    """Design 9"""
    file = tmp_path / "config.toml"
    if text is not None:
        file.write_text(text)
    config, _ = load_config(environ, None, file)
    folders = (config.state_dir, config.runtime_dir)
    assert load_folders(environ, file) == folders


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("prot = 1\n", {}),
        ("port = 'x\n", {}),
        ("", {"PENSTOCK_PORT": "x"}),
        ("", {"PENSTOCK_CONFIG": "/nowhere/config.toml"}),
    ],
)
def test_who_asks_for_the_folders_is_told_every_mistake(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    """APP-02"""
    file = tmp_path / "config.toml"
    file.write_text(text)
    path = None if "PENSTOCK_CONFIG" in environ else file
    with pytest.raises(StartRefused) as whole:
        load_config(environ, None, path)
    with pytest.raises(StartRefused, match=re.escape(str(whole.value))):
        load_folders(environ, path)


def test_the_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Config().port = 1


def test_every_number_is_finite() -> None:
    """BP-04: no capacity and no deadline is without end."""
    for name, value in Config():
        if isinstance(value, int | float):
            assert math.isfinite(value), name


def test_the_fixed_figures_are_these() -> None:
    """ST, WS-05, RS-05, QA: figures that others rely on."""
    config = Config()
    figures = {
        "max_waiting_submits": 1000, "max_tree_runs": 64, "max_tree_depth": 8, "max_attempts": 3,
        "max_parked_asks": 100, "recorder_capacity": 1024, "store_patience": 30,
        "ring_events": 4096, "ring_bytes": 32 << 20, "frame_events": 50, "frame_bytes": 512 << 10,
        "page_events": 500, "page_bytes": 8 << 20, "throttle_seconds": 0.1,
        "throttle_bytes": 64 << 10, "cancel_sla": 5, "output_head_bytes": 2 << 20,
        "output_tail_bytes": 6 << 20, "retention_seconds": 30 * 86400, "retention_runs": 10_000,
        "tombstone_seconds": 86400, "max_tombstones": 10_000, "max_store_bytes": 5 << 30,
        "min_free_bytes": 500 << 20, "max_body_bytes": 9 << 20, "open_timeout": 5,
    }  # fmt: skip
    assert {name: getattr(config, name) for name in figures} == figures


def test_every_setting_says_its_unit_and_its_reason() -> None:
    """Design 3: in its field, where `penstock config` and the document have it from."""
    found = list(config_keys())
    assert [s.key for s in found if not s.reason.endswith(".")] == []
    assert [s.key for s in found if s.unit == "number"] == []
    assert {s.key.split(".")[0] for s in found} == set(Config.model_fields)


def test_the_document_of_the_settings_is_up_to_date() -> None:
    """CL-01: run tests/configuration_document.py to renew it."""
    assert DOCUMENT.read_text() == document()


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("port", "port"),
        ("groups.disk.slots", "groups.*.slots"),
        ("models.windows.qwen2.5:7b", "models.windows"),
        ("models.run_budget.soft", "models.run_budget.soft"),
        ("no_such_key", None),
    ],
)
def test_a_key_below_a_name_of_the_users_is_that_of_its_table(
    key: str, told: str | None
) -> None:
    found = find_key(key)
    assert (found.key if found else None) == told


def test_a_key_that_an_older_version_knew_is_no_mistake(tmp_path: Path) -> None:
    """CL-01: a file that was good goes on being so."""
    path = tmp_path / "config.toml"
    path.write_text("output_line_bytes = 4096\nport = 7777\n")
    config, _ = load_config({}, None, path)
    assert config.port == 7777


@pytest.mark.parametrize(
    ("said", "meant"),
    [("true", "json"), ("false", "text"), ('"yes"', "json"), ("1", "json")],
)
def test_the_older_name_of_the_logs_form_is_understood(
    tmp_path: Path, said: str, meant: str
) -> None:
    """CL-01: a file of before starts the daemon of today; what is said by today's name goes first."""
    path = tmp_path / "config.toml"
    path.write_text(f"log_json = {said}\n")
    config, sources = load_config({}, None, path)
    assert config.log_format == meant
    assert sources == {"log_format": str(path)}
    config, _ = load_config({"PENSTOCK_LOG_JSON": "off"}, None, path)
    assert config.log_format == "text"
    config, _ = load_config({}, {"log_format": "json"}, path)
    assert config.log_format == "json"
    path.write_text('log_json = "perhaps"\n')
    with pytest.raises(StartRefused, match='log_json is now log_format = "json" or'):
        load_config({}, None, path)
