"""Diffs taken apart: of git, of agents, and of whoever writes one wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.words.unified_diff import (
    change_in_words,
    counts_of,
    lines_of_diff,
    read_diff,
)

OF_GIT = """\
From 1234 a mail's head
diff --git a/src/app.py b/src/app.py
index 1111111..2222222 100644
--- a/src/app.py
+++ b/src/app.py
@@ -1,3 +1,3 @@ def main():
 same
--- went, and looks like a head
+++ came, and looks like one too
 same
diff --git "a/caf\\303\\251.txt" "b/caf\\303\\251.txt"
new file mode 100644
index 0000000..3333333
--- /dev/null
+++ "b/caf\\303\\251.txt"
@@ -0,0 +1,2 @@
+one
+two
\\ No newline at end of file
diff --git a/old name.md b/new name.md
similarity index 100%
rename from old name.md
rename to new name.md
diff --git a/gone.bin b/gone.bin
deleted file mode 100644
index 4444444..0000000
Binary files a/gone.bin and /dev/null differ
"""


def test_each_file_tells_what_happened_to_it() -> None:
    told = [
        (file.path, file.before, file.word, file.added, file.removed, file.binary)
        for file in read_diff(OF_GIT)
    ]
    assert told == [
        ("src/app.py", "", "changed", 1, 1, False),
        ("café.txt", "", "new", 2, 0, False),
        ("new name.md", "old name.md", "renamed", 0, 0, False),
        ("gone.bin", "", "gone", 0, 0, True),
    ]


def test_lines_have_the_numbers_of_their_side() -> None:
    [file, *_] = read_diff(OF_GIT)
    assert [(line.kind, line.number) for line in file.lines] == [
        ("hunk", 1), ("same", 1), ("removed", 2), ("added", 2), ("same", 3),
    ]  # fmt: skip


def test_a_diff_of_an_agent_has_an_index_and_whole_paths() -> None:
    text = (
        "Index: /repo/a.txt\n===================================================\n"
        "--- /repo/a.txt\n+++ /repo/a.txt\n@@ -0,0 +1,1 @@\n+hello\n"
    )
    [file] = read_diff(text)
    assert (file.path, file.word, file.added) == ("/repo/a.txt", "changed", 1)


def test_files_without_a_line_of_git_are_told_apart() -> None:
    text = "--- a\n+++ a\n@@ -1 +1 @@\n-x\n+y\n--- b\t2026-01-01\n+++ b\t2026-01-02\n@@ -1 +0,0 @@\n-z\n"
    assert [(file.path, file.added, file.removed) for file in read_diff(text)] == [
        ("a", 1, 1),
        ("b", 0, 1),
    ]


def test_a_file_that_is_gone_has_only_the_name_it_had() -> None:
    [file] = read_diff("--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-z\n")
    assert (file.path, file.before, file.word) == ("x", "", "gone")


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", (0, 0)),
        ("no diff at all\n", (0, 0)),
        ("@@ -1,9 +1,9 @@\n+only\n", (1, 0)),
        ("@@ -1,9 +1,9 @@\n+cut of", (1, 0)),
        ("@@ -1 +1 @@\n+a\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n", (1, 0)),
        ("@@ -99999999999999999999 +1 @@\n+a\n", (0, 0)),
    ],
)
def test_what_is_cut_or_wrong_is_read_as_far_as_it_goes(
    text: str, counts: tuple[int, int]
) -> None:
    assert counts_of(text) == counts


def test_a_change_is_told_by_what_there_is_of_it() -> None:
    assert change_in_words(12, 3) == "+12 \N{MINUS SIGN}3"
    assert change_in_words(0, 3) == "\N{MINUS SIGN}3"
    assert change_in_words(0, 0) == ""


@given(
    st.lists(
        st.sampled_from(
            [
                *OF_GIT.splitlines(),
                "",
                "+",
                "-",
                "\\",
                "@@ -1,2 +1,2 @@",
                '+++ "b\\',
                "--- ",
            ]
        )
    ).map("\n".join)
)
def test_every_line_is_told_once_whoever_wrote_it(text: str) -> None:
    said = [line.text for line in lines_of_diff(text)]
    assert "\n".join(said) == text.removesuffix("\n") or not text
    added, removed = counts_of(text)
    assert sum(file.added for file in read_diff(text)) == added
    assert sum(file.removed for file in read_diff(text)) == removed
