"""CL-01: short words: a program, preset or kind by its name, aliases, and what may have been meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.cli.first_word import kind_names


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, the only one there is, and the one that is worked in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("make", "pytest", "llms-txt"):
        (folder / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def preset(folder: Path, text: str) -> None:
    (folder / ".penstock.toml").write_text(text)


def submitted(penstock: Penstock, *words: str) -> dict[str, Any]:
    """The run that these words submit."""
    result = penstock("submit", *words)
    assert result.exit_code == 0, result.stderr
    run: dict[str, Any] = json.loads(penstock("show", result.stdout.strip(), "--json").stdout)  # fmt: skip
    return run


def test_a_program_needs_no_kind_before_it(
    penstock: Penstock, daemon: HouseBeside, programs: Path
) -> None:
    """CL-01: its own flags are its own, ours stand before it."""
    run = submitted(penstock, "make", "-j", "4", "--json")
    assert run["kind"] == "command"
    assert run["inputs"]["argv"] == ["make", "-j", "4", "--json"]
    run = submitted(penstock, "--name", "n", "--priority", "low", "make")
    assert (run["labels"], run["priority"]) == ({"name": "n"}, "LOW")


def test_two_dashes_always_mean_a_program(
    penstock: Penstock, daemon: HouseBeside, programs: Path
) -> None:
    """CL-01: whatever else has its name, and whether it is there or not."""
    preset(programs.parent, '[presets.make]\nrun = "other"\n')
    for words in (["--", "make"], ["--name", "n", "--", "make"], ["command", "make"]):
        assert submitted(penstock, *words)["inputs"]["argv"] == ["make"]
    assert submitted(penstock, "--", "nowhere")["inputs"]["argv"] == ["nowhere"]


def test_a_kind_goes_before_a_program_and_says_so(
    penstock: Penstock, daemon: HouseBeside, programs: Path
) -> None:
    """CL-01: one line on stderr when one hides another."""
    result = penstock("submit", "llms-txt", ".")
    assert result.exit_code == 0
    assert result.stderr == "penstock: llms-txt is the kind; `-- llms-txt` is the program\n"  # fmt: skip
    assert {"command", "llms-txt", "coding", "loop"} <= kind_names()


def test_a_preset_is_found_upwards_and_works_where_it_is_written(
    penstock: Penstock, daemon: HouseBeside, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """CL-01"""
    preset(
        programs.parent,
        '[presets.test]\nrun = "make test"\npriority = "high"\ntimeout = 60\n'
        'name = "tests"\nlabels = {suite = "unit"}\n'
        '[presets.words]\nrun = ["make", "a b"]\ncwd = "bin"\ntimeout = "5m"\n',
    )
    below = programs.parent / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    run = submitted(penstock, "test")
    assert run["inputs"]["shell"] == "make test"
    assert run["inputs"]["cwd"] == str(programs.parent)
    assert (run["priority"], run["timeout"]) == ("HIGH", 60.0)
    assert run["labels"] == {"suite": "unit", "name": "tests"}
    more = submitted(penstock, "--timeout", "5", "--label", "a=b", "test", "it's", "-v")
    assert more["inputs"]["shell"] == "make test 'it'\"'\"'s' -v"
    assert (more["timeout"], more["labels"]["a"]) == (5.0, "b")
    assert submitted(penstock, "--timeout", "1h30m", "test")["timeout"] == 5400.0
    words = submitted(penstock, "words", "c")
    assert words["inputs"]["argv"] == ["make", "a b", "c"]
    assert words["inputs"]["cwd"] == str(programs)
    assert words["timeout"] == 300.0


def test_both_streams_of_a_program_can_be_had_as_one(
    penstock: Penstock, daemon: HouseBeside, programs: Path
) -> None:
    """PT-06: where nobody joins them, as `2>&1` does; only then their order is exact."""
    assert submitted(penstock, "--merge", "make")["inputs"]["stderr"] == "stdout"
    assert "stderr" not in submitted(penstock, "make")["inputs"]


def test_a_preset_says_how_often_it_is_tried_again(
    penstock: Penstock, daemon: HouseBeside, programs: Path
) -> None:
    """DU-04: as `--retries` and `--backoff` do, which go before it."""
    preset(
        programs.parent,
        '[presets.test]\nrun = "make"\nretries = 3\nbackoff = "2m"\n',
    )
    run = submitted(penstock, "test")
    assert (run["retries"], run["backoff"]) == (3, 120.0)
    run = submitted(penstock, "--retries", "1", "test")
    assert (run["retries"], run["backoff"]) == (1, 120.0)


def test_a_preset_that_hides_a_program_says_so(
    penstock: Penstock, daemon: HouseBeside, programs: Path
) -> None:
    """CL-01: a folder of a stranger may have one."""
    preset(programs.parent, '[presets.make]\nrun = "true"\n')
    result = penstock("submit", "make")
    assert result.stderr.startswith("penstock: make is the preset of ")
    assert result.stderr.endswith("`-- make` is the program\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[presets.test]\nrn = 'x'", "presets.test.rn: is no key of a preset"),
        ("[presets.test]\ncwd = '.'", "presets.test.run: must be a line"),
        (
            "[presets.test]\nrun = 'x'\ntimeout = true",
            "presets.test.timeout: 'true' is no duration",
        ),
        (
            "[presets.test]\nrun = 'x'\ntimeout = '5 ages'",
            "presets.test.timeout: '5 ages' is no duration",
        ),
        (
            "[presets.test]\nrun = 'x'\ntimeout = nan",
            "presets.test.timeout: 'nan' is no duration",
        ),
        ("[presets.test]\nrun = 'x'\nretries = 'no'", "presets.test.retries: must be"),
        ("[presets.test]\nrun = 'x'\nretries = true", "presets.test.retries: must be"),
        ("presets = 3", "has no tables"),
        ("[presets", "cannot be read"),
    ],
)
def test_a_preset_that_is_none_is_refused_by_its_key(
    penstock: Penstock, daemon: HouseBeside, programs: Path, text: str, told: str
) -> None:
    """CL-01"""
    preset(programs.parent, text)
    result = penstock("submit", "test")
    assert result.exit_code == 2
    assert told in result.stderr
    assert ".penstock.toml" in result.stderr


@pytest.mark.parametrize("verb", ["run", "submit"])
def test_a_word_that_is_nothing_is_127_and_says_what_may_have_been_meant(
    penstock: Penstock, daemon: HouseBeside, programs: Path, verb: str
) -> None:
    """CL-01: nothing is submitted."""
    result = penstock(verb, "pyest", "-q")
    assert result.exit_code == 127
    assert result.stderr == (
        "penstock: there is no kind, preset or program 'pyest'; did you mean 'pytest'?\n"
    )
    assert daemon.untouched


def test_a_kind_behind_flags_is_not_taken_for_a_program(
    penstock: Penstock, daemon: HouseBeside, programs: Path
) -> None:
    """CL-01"""
    result = penstock("submit", "--priority", "low", "loop")
    assert result.exit_code == 2
    assert "name the kind first" in result.stderr


@pytest.mark.parametrize(
    ("alias", "head"),
    [("ls", "list"), ("log", "logs"), ("kill", "cancel"), ("re", "retry"), ("st", "status"), ("add", "submit")],
)  # fmt: skip
def test_what_is_typed_often_has_a_short_form(
    penstock: Penstock, alias: str, head: str
) -> None:
    """CL-01"""
    assert penstock(alias, "--help").stdout == penstock(head, "--help").stdout


def test_an_unknown_verb_says_what_may_have_been_meant(penstock: Penstock) -> None:
    """CL-01"""
    result = penstock("cancle", "12")
    assert result.exit_code == 2
    assert "there is no verb 'cancle'; did you mean 'cancel'?" in result.stderr
    assert "did you mean" not in penstock("xyzzy").stderr


def test_the_bare_command_on_a_terminal_shows_the_status(
    penstock: Penstock, daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-02: else help, for a program can make nothing of either."""
    daemon.start("alpha")
    assert "Usage: penstock" in penstock().stdout
    said = penstock("status").stdout
    assert said.startswith("1/")
    assert "alpha" in said
    monkeypatch.setattr("penstock.cli.main.on_terminal", lambda: True)
    assert "alpha" in penstock().stdout
    told = json.loads(penstock("status", "--json").stdout)
    assert [row["run_id"] for row in told["runs"]] == ["alpha"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("show", "@faild"), "@failed"),
        (("list", "state:faild"), "failed"),
        (("list", "stat:failed"), "state"),
        (("show", "alhpa"), "alpha"),
        (("submit", "--after", "alhpa", "--", "true"), "alpha"),
        (("submit", "--prioity", "high", "true"), "--priority"),
        (("events", "--type", "run.complted"), "run.completed"),
        (("config", "max_concurent"), "max_concurrent"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_an_unknown_word_says_what_may_have_been_meant(
    penstock: Penstock, daemon: HouseBeside, words: tuple[str, ...], meant: str
) -> None:
    """CL-01: whatever sort of word it is, and nothing is done."""
    daemon.start("alpha")
    result = penstock(*words)
    assert result.exit_code in (2, 3)
    assert result.stdout == ""
    assert f"id you mean '{meant}'?" in result.stderr


def test_a_name_that_is_taken_for_an_id_says_how_it_is_found(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-01: a name may have several runs, so it is no id."""
    daemon.submit("echo", run_id="alpha", labels={"name": "tests"})
    result = penstock("show", "tests")
    assert result.exit_code == 3
    assert "1 has that name, as `'label:name=tests'` finds all" in result.stderr


def test_a_type_that_no_fact_has_is_refused(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """CL-01: else it would be waited for, for ever; one that is known is not."""
    daemon.start("alpha")
    assert penstock("events", "--type", "foo").exit_code == 2
    told = penstock("events", "--type", "run.queued", "alpha")
    assert json.loads(told.stdout)["event"]["type"] == "run.queued"


def test_variables_come_from_a_file_and_the_command_line_goes_before(
    penstock: Penstock, daemon: HouseBeside, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """CL-01: `--env-file`, as docker reads it; a preset's is looked for beside the preset."""
    monkeypatch.setenv("HERE", "here")
    (programs.parent / "one.env").write_text(
        "# of the tests\n\nA=1\nexport B = 'two words' # said, 'so'\nC=a#b\nHERE\nNOT_HERE\nD=x\n"
    )
    (programs.parent / "two.env").write_text('D="of two"\n')
    preset(programs.parent, '[presets.test]\nrun = "make"\nenv_file = "two.env"\n')
    below = programs.parent / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    seen: list[dict[str, str]] = []
    for words in (
        ("--env-file", "../one.env", "--env", "A=9", "make"),
        ("--env-file", "../one.env", "test"),
    ):
        run_id = penstock("submit", *words).stdout.strip()
        row = daemon.beside.do(daemon.house.core.store.run, run_id)
        assert row is not None
        seen.append(json.loads(row.inputs)["env"])
    common = {"B": "two words", "C": "a#b", "HERE": "here"}
    assert seen[0] == {"A": "9", "D": "x", **common}
    assert seen[1] == {"A": "1", "D": "x", **common}


@pytest.mark.parametrize("text", ["A=1\nthe secret\n", "=secret\n", None])
def test_a_file_of_variables_that_is_none_is_refused_and_not_quoted(
    penstock: Penstock, daemon: HouseBeside, programs: Path, text: str | None
) -> None:
    """CL-01: what stands in it may be secret."""
    file = programs.parent / "bad.env"
    if text is not None:
        file.write_text(text)
    result = penstock("submit", "--env-file", str(file), "make")
    assert result.exit_code == 2
    assert "penstock: --env-file: " in result.stderr
    assert "secret" not in result.stderr
    assert daemon.untouched
