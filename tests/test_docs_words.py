"""DU-01: the commonest jobs take no more words than with the tool that most people come from."""

from __future__ import annotations

import re
from pathlib import Path

from penstock.cli.main import ALIASES, VERBS

DOCUMENT = Path(__file__).parent.parent / "docs" / "scheduling.md"
_ROW = re.compile(r"\| ([^|]+) \| `(pueue[^`]*)` \| (\d+) \| `(penstock[^`]*)` \| (\d+) \|")  # fmt: skip


def test_ten_jobs_take_no_more_words_than_with_pueue() -> None:
    """DU-01: the numbers of the document are counted, and its verbs are ours."""
    rows = _ROW.findall(DOCUMENT.read_text())
    assert len(rows) == 10
    verbs = {verb for verbs in VERBS.values() for verb in verbs} | ALIASES.keys()
    for job, theirs, their_words, ours, our_words in rows:
        assert (job, len(theirs.split()), len(ours.split())) == (
            job,
            int(their_words),
            int(our_words),
        )
        assert int(our_words) <= int(their_words), job
        assert set(ours.split()[1:2]) <= verbs, ours
