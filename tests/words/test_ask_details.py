"""What a question is about, as a stranger says it."""

from __future__ import annotations

from penstock.words.ask_details import AskDetails, is_permission


def test_details_are_read_as_far_as_they_are_understood() -> None:
    details = AskDetails.read(
        {
            "tool": "execute",
            "title": 7,
            "command": ["rm", "a b"],
            "paths": ["x", None, "y"],
            "diff": ["no text"],
            "more": {},
        }
    )
    assert details == AskDetails("execute", "", "rm 'a b'", ("x", "y"), "")
    assert not AskDetails.read({"paths": "x"})
    assert list(details.particulars()) == [
        ("tool", "execute"),
        ("command", "rm 'a b'"),
        ("file", "x"),
        ("file", "y"),
    ]


def test_what_the_question_says_is_not_said_again() -> None:
    details = AskDetails(title="a.txt", paths=("a.txt",))
    assert list(details.particulars("Write a.txt?")) == []
    assert list(details.particulars("Write?")) == [
        ("title", "a.txt"),
        ("file", "a.txt"),
    ]


def test_a_question_is_told_with_all_of_it_or_how_much_is_left_out() -> None:
    details = AskDetails(tool="edit", diff="+" * 50)
    assert details.told_with("May it?", 100) == f"May it?\n\ntool: edit\n{'+' * 50}"
    cut = details.told_with("May it?", 20)
    assert cut == f"May it?\n\ntool: edit\n{'+' * 9}\n(and 41 more characters)"
    assert AskDetails().told_with("May it?", 20) == "May it?"


def test_a_permission_is_allowed_or_denied_and_nothing_else() -> None:
    assert is_permission(["allow", "deny"])
    assert not is_permission(("deny", "allow"))
    assert not is_permission(())
