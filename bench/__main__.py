"""All measurements as one table: `python -m bench [--long] [--keep] [NAME…]`.

Without names it measures everything and writes `bench/results.json`; with `--keep` what was measured takes
the place of the rows of the same name there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from typing import Any

from bench._shared import ROOT

#: The modules that have `rows(long)`, in the order of the table.
MODULES = (
    "main_job",
    "append",
    "emit",
    "printed",
    "terminals",
    "jobs",
    "programs",
    "peers",
    "boxes",
    "broadcast",
    "frames",
    "million",
    "cancel",
    "start",
    "verbs",
    "lookups",
    "summaries",
    "display",
    "tui",
    "strangers",
)


def main(args: list[str]) -> None:
    """Measure, and print each row as soon as it is there."""
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("--long", action="store_true", help="more rounds")
    parser.add_argument(
        "--keep", action="store_true", help="put the rows into results.json"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MODULES))
    given = parser.parse_args(args)
    if unknown := set(given.names) - set(MODULES):
        parser.error(f"no measurement is named {', '.join(sorted(unknown))}")
    long, named = given.long, given.names or list(MODULES)
    began = time.monotonic()
    found: list[dict[str, Any]] = []
    print(f"{'':48}{'ours':>11}{'reference':>11}{'ratio':>7}  rounds' ratios  target")
    for name in named:
        for row in importlib.import_module(f"bench.{name}").rows(long):
            found.append(row.to_json())
            print(line(found[-1]), flush=True)
    missed = sum(not row["met"] for row in found)
    seconds = time.monotonic() - began
    print(f"{len(found)} rows, {missed} missed, in {seconds:.0f} s")
    whole = named == list(MODULES)
    if whole or given.keep:
        results = ROOT / "bench" / "results.json"
        kept = [] if whole else json.loads(results.read_text(encoding="utf-8"))
        rows = replaced(kept, found)
        results.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(f"written to {results}")


def replaced(
    kept: list[dict[str, Any]], found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows kept, those found in the place of their namesakes, and new ones last."""
    rows = {row["name"]: row for row in kept} | {row["name"]: row for row in found}
    return list(rows.values())


def line(row: dict[str, Any]) -> str:
    """A row for people."""
    reference = "" if row["reference"] is None else f"{row['reference']:,.4g}"
    ratio, spread = "", ""
    if row["ratio"] is not None:
        ratio = f"{row['ratio']:.2f}"
        spread = "{:.2f}..{:.2f}".format(*row["ratio_range"])
    mark = "" if row["met"] else "  MISSED"
    return (
        f"{row['name'] + ', ' + row['unit']:48}{row['ours']:>11,.4g}{reference:>11}{ratio:>7}"
        f"  {spread:14}  {row['target']}{mark}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
