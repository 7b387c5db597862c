"""Prints how far our token estimate, and a quarter of the characters, are off from real tokenizers."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fakes.texts import SAMPLES, SCRIPTS
from fakes.tokenizers import tokenizers
from penstock.llm.token_estimate import estimate


def main() -> None:
    counts = tokenizers()
    print("error in %: our estimate / a quarter of the characters")
    print(
        f"{'text':10}{'chars':>7}{'ours':>7}"
        + "".join(f"{name:>16}" for name in counts)
    )
    for name, text in (SAMPLES | SCRIPTS).items():
        row = f"{name:10}{len(text):7}{estimate(text):7}"
        for count in counts.values():
            real = count(text)
            row += f"{100 * (estimate(text) / real - 1):+9.0f} /{100 * (len(text) / 4 / real - 1):+4.0f} "
        print(row)


if __name__ == "__main__":
    main()
