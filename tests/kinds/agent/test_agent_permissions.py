"""AG-02: what an agent may do is said by rules, and by a person where none says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from penstock.kinds.agent.offered import PermissionOption
from penstock.kinds.agent.permissions import (
    MOST_PATHS,
    PRESETS,
    AgentAct,
    Rule,
    judge,
    pick_option,
    read_act,
    shown_path,
)


def edit(*paths: str) -> AgentAct:
    return AgentAct(tool="edit", title="Edit", paths=paths)


def execute(command: str | None, title: str = "") -> AgentAct:
    return AgentAct(tool="execute", title=title, command=command)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "src").mkdir(parents=True)
    return tree


@pytest.mark.parametrize(
    ("act", "ask", "edits"),
    [
        (AgentAct(tool="read", paths=("src/a.py",)), "allow", "allow"),
        (AgentAct(tool="search", paths=(".",)), "allow", "allow"),
        (AgentAct(tool="think"), "allow", "allow"),
        (edit("src/a.py"), "ask", "allow"),
        (edit("src/a.py", "/etc/passwd"), "ask", "ask"),
        (edit("../other/a.py"), "ask", "ask"),
        (edit(), "ask", "ask"),
        (edit(".git/hooks/pre-commit"), "ask", "ask"),
        (edit("src/a.py", "sub/.git/config"), "ask", "ask"),
        (AgentAct(tool="read"), "ask", "ask"),
        (AgentAct(tool="read", paths=("/etc/passwd",)), "ask", "ask"),
        (execute("ls"), "ask", "ask"),
        (AgentAct(tool="fetch"), "ask", "ask"),
        (AgentAct(), "ask", "ask"),
    ],
)
def test_presets(act: AgentAct, ask: str, edits: str, tree: Path) -> None:
    assert judge(act, PRESETS["ask"], tree, "ask") == ask
    assert judge(act, PRESETS["edit"], tree, "ask") == edits
    assert judge(act, PRESETS["all"], tree, "ask") == "allow"
    assert judge(act, PRESETS["none"], tree, "ask") == "deny"


def test_a_link_that_leads_out_of_the_tree_is_outside(tree: Path) -> None:
    (tree / "out").symlink_to("/etc")
    (tree / "within").symlink_to("src")
    assert judge(edit("out/passwd"), PRESETS["edit"], tree, "ask") == "ask"
    assert judge(edit("within/a.py"), PRESETS["edit"], tree, "ask") == "allow"


def test_a_tree_that_is_reached_by_a_link_is_that_tree(tree: Path) -> None:
    (tree.parent / "link").symlink_to(tree)
    act = edit(f"{tree.parent}/link/src/a.py")
    assert judge(act, PRESETS["edit"], tree, "ask") == "allow"


@pytest.mark.parametrize("command", [
    "git status", "git  status --short", "pytest -q tests/x.py",
])  # fmt: skip
def test_commands_are_allowed_by_their_beginnings(command: str, tree: Path) -> None:
    rules = [Rule(do="allow", commands=("git status", "pytest"))]
    assert judge(execute(command), rules, tree, "ask") == "allow"


@pytest.mark.parametrize(
    "command",
    [
        "git status; rm -rf /", "git status && x", "git status | sh", "git status > f", "git status < f",
        "git status `x`", "git status $(x)", "git status\nrm x", "git status & x", "git push", "gitstatus",
        "git", "pytest-x", "X=1 pytest", "sh -c 'git status'",
    ],
)  # fmt: skip
def test_a_line_that_joins_commands_is_allowed_by_no_beginning(
    command: str, tree: Path
) -> None:
    rules = [Rule(do="allow", commands=("git status", "pytest"))]
    assert judge(execute(command), rules, tree, "ask") == "ask"


def test_what_is_not_told_as_a_command_is_allowed_by_no_beginning(tree: Path) -> None:
    """A title may be cut."""
    rules = [Rule(do="allow", commands=("ls",))]
    assert judge(execute(None, title="ls"), rules, tree, "ask") == "ask"


@pytest.mark.parametrize("act", [
    execute("git push"), execute("cd x && git push origin"), execute("true; git push"),
    execute("echo $(git push)"), execute(None, title="git push -f"),
])  # fmt: skip
def test_a_denied_beginning_is_found_wherever_it_stands(
    act: AgentAct, tree: Path
) -> None:
    rules = [Rule(do="deny", commands=("git push",)), *PRESETS["all"]]
    assert judge(act, rules, tree, "ask") == "deny"


def test_one_denied_path_is_enough(tree: Path) -> None:
    rules = [Rule(do="deny", paths=("**/*.lock", "/etc/**")), *PRESETS["all"]]
    assert judge(edit("a.py", "sub/x.lock"), rules, tree, "ask") == "deny"
    assert judge(edit("x.lock"), rules, tree, "ask") == "deny"
    assert judge(edit("/etc/passwd"), rules, tree, "ask") == "deny"
    assert judge(edit("a.py"), rules, tree, "ask") == "allow"


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("src/**", "src/a/b.py", True),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/a/b.py", False),
        ("*.py", "a.py", True),
        ("*.py", "src/a.py", False),
        ("**/*.py", "a.py", True),
        ("**/test_?.py", "x/y/test_a.py", True),
        ("**/test_?.py", "x/y/test_ab.py", False),
        ("./src/a.py", "src/a.py", True),
        ("src/", "src", True),
        ("a+b(c).py", "a+b(c).py", True),
        ("**", "anything/at/all", True),
    ],
)
def test_globs(glob: str, path: str, matches: bool, tree: Path) -> None:
    rules = [Rule(do="allow", paths=(glob,))]
    assert (judge(edit(path), rules, tree, "ask") == "allow") is matches


def test_the_first_rule_that_matches_counts(tree: Path) -> None:
    deny, allow = Rule(do="deny", tools=("edit",)), Rule(do="allow")
    assert judge(edit("a"), [deny, allow], tree, "ask") == "deny"
    assert judge(edit("a"), [allow, deny], tree, "ask") == "allow"
    assert judge(edit("a"), [], tree, "deny") == "deny"


def test_a_rule_of_something_unknown_is_refused() -> None:
    with pytest.raises(ValidationError):
        Rule.model_validate({"do": "allow", "tools": ["delet"]})
    with pytest.raises(ValidationError):
        Rule.model_validate({"do": "allow", "path": ["**"]})


@pytest.mark.parametrize(
    ("raw", "command"),
    [
        ({"command": "make"}, "make"),
        ({"cmd": "make"}, "make"),
        ({"command": ["bash", "-lc", "make; rm x"]}, "make; rm x"),
        ({"command": ["/bin/sh", "-c", "make"]}, "make"),
        ({"command": ["rm", "a b"]}, "rm 'a b'"),
        ({"command": 3}, None),
        ({"command": []}, None),
        ({"command": [1]}, None),
        ({"command": " "}, None),
        ("make", None),
        (None, None),
    ],
)
def test_commands_are_read_as_they_are_told(raw: Any, command: str | None) -> None:
    assert read_act({"kind": "execute", "rawInput": raw}).command == command


def test_an_act_of_anything_at_all_is_read() -> None:
    call = {
        "kind": {"x": 1},
        "title": 5,
        "locations": [{"path": 3}, "x", {"path": "a"}],
        "content": {"path": "b"},
        "rawInput": {"path": ["c"], "file_path": "d"},
    }
    assert read_act(call) == AgentAct(paths=("a", "d"), input={"path": ["c"], "file_path": "d"})  # fmt: skip
    many = {"locations": [{"path": f"{k}"} for k in range(1000)]}
    assert len(read_act(many).paths) == MOST_PATHS
    nul = read_act({"kind": "edit", "locations": [{"path": "a\0b"}]})
    assert judge(nul, PRESETS["edit"], Path("/nowhere"), "ask") == "allow"


def test_a_move_is_both_of_its_paths() -> None:
    act = read_act(
        {"kind": "move", "rawInput": {"source": "a", "destination": "/etc/x"}}
    )
    assert act.paths == ("a", "/etc/x")


def test_the_same_act_has_the_same_name_and_another_another() -> None:
    one = AgentAct(tool="execute", title="a", command="make", input={"command": "make"})
    assert one.digest() == AgentAct(tool="execute", title="b", command="make", input={"command": "make"}).digest()  # fmt: skip
    assert one.digest() != AgentAct(tool="execute", command="make x").digest()
    assert len(one.digest()) == 8


OPTIONS = (
    PermissionOption("aa", "Always", "allow_always"),
    PermissionOption("ao", "Once", "allow_once"),
    PermissionOption("ra", "Never", "reject_always"),
    PermissionOption("ro", "No", "reject_once"),
)


def test_an_answer_is_for_this_once() -> None:
    assert pick_option(OPTIONS, "allow") == "ao"
    assert pick_option(OPTIONS, "deny") == "ro"
    lasting = (OPTIONS[0], OPTIONS[2])
    assert (pick_option(lasting, "allow"), pick_option(lasting, "deny")) == ("aa", "ra")
    assert pick_option((), "deny") is None
    assert pick_option((PermissionOption("x", "?", "maybe"),), "allow") is None


def test_paths_are_shown_from_the_tree_on() -> None:
    tree = Path("/t/tree")
    assert shown_path("/t/tree/a/../b", tree) == "b"
    assert shown_path("a", tree) == "a"
    assert shown_path("/t/tree", tree) == "."
    assert shown_path("/t/treetop/a", tree) == "/t/treetop/a"
