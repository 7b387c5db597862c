"""ML-04: a model's words about a file are told only if they are the file's."""

from __future__ import annotations

import pytest

from penstock.kinds.llms_txt.grounded import is_grounded

FILE = """
class FeedReader:
    def read_entries(self, url, max_items=10):
        \"\"\"Parse an Atom feed and return its entries.\"\"\"
"""


@pytest.mark.parametrize(
    "said",
    [
        "Parses Atom feeds into entries.",
        "FeedReader, which reads entries from a url",
        "Reading of feeds: `read_entries` with `max_items`",
    ],
)
def test_words_of_the_file_are_its_own(said: str) -> None:
    """ML-04 Inflected, or taken out of a name."""
    assert is_grounded(said, [FILE])


@pytest.mark.parametrize(
    "said",
    [
        "Parses Atom feeds with lxml2 and caches them.",
        "FeedWriter that writes feed entries",
        "Sends mail to subscribers through a relay.",
        "This module provides various utilities and helpers.",
        "",
        "...",
    ],
)
def test_what_the_file_does_not_have_is_made_up(said: str) -> None:
    """ML-04 One name of elsewhere is enough; words that fit any file say nothing."""
    assert not is_grounded(said, [FILE])


def test_what_is_known_of_the_project_may_be_said() -> None:
    """ML-04 A file's path and its project's summary were told to the model too."""
    assert is_grounded("Tests of the newsreader", ["tests/x.py", "A newsreader."])
