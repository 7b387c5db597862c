"""What runs have spent on models, and whether they may spend more. Accounting only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.words.config import Budget

Verdict = Literal["go", "ask", "refuse"]


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens, money in the currency of the prices, and seconds of requests."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.cost + other.cost,
            self.seconds + other.seconds,
        )


def price(
    tokens_in: int, tokens_out: int, price_in: float | None, price_out: float | None
) -> float:
    """What an answer cost; prices are per million tokens, and unknown ones are nothing."""
    return (tokens_in * (price_in or 0.0) + tokens_out * (price_out or 0.0)) / 1_000_000


def judge(limits: Budget, spent: Spent) -> tuple[Verdict, str]:
    """Whether another request may be made, and the sentence that says why not.

    At a limit: refuse. From its soft share on: ask.
    """
    used = (
        ("tokens", float(spent.tokens), limits.tokens),
        ("money", spent.cost, limits.cost),
        ("seconds", spent.seconds, limits.seconds),
    )
    for name, value, limit in used:
        if limit is not None and value >= limit:
            return "refuse", f"{value:.6g} of {limit:.6g} {name} are spent"
    for name, value, limit in used:
        if limit is not None and value >= limit * limits.soft:
            return "ask", f"{value:.6g} of {limit:.6g} {name} are spent"
    return "go", ""


class Spending:
    """What each open run, and each tree of runs, has spent."""

    def __init__(self, run_limits: Budget, tree_limits: Budget) -> None:
        self._run_limits = run_limits
        self._tree_limits = tree_limits
        self._runs: dict[str, Spent] = {}
        self._trees: dict[str, Spent] = {}

    def add(self, run_id: str, root_id: str, spent: Spent) -> None:
        """Book what one request cost, or what the log says of requests before a restart."""
        self._runs[run_id] = self.run(run_id) + spent
        self._trees[root_id] = self.tree(root_id) + spent

    def run(self, run_id: str) -> Spent:
        """What the run has spent."""
        return self._runs.get(run_id, Spent())

    def tree(self, root_id: str) -> Spent:
        """What the run at the root and all below it have spent."""
        return self._trees.get(root_id, Spent())

    def judge(self, run_id: str, root_id: str) -> tuple[Verdict, str]:
        """Whether the run may make another request; the stricter of its own and its tree's verdict."""
        own, why = judge(self._run_limits, self.run(run_id))
        tree, tree_why = judge(self._tree_limits, self.tree(root_id))
        if "refuse" in (own, tree):
            return (
                "refuse",
                f"run: {why}" if own == "refuse" else f"tree of runs: {tree_why}",
            )
        if "ask" in (own, tree):
            return "ask", f"run: {why}" if own == "ask" else f"tree of runs: {tree_why}"
        return "go", ""

    def forget(self, run_id: str) -> None:
        """The run has ended; with the root of a tree its sum goes too."""
        self._runs.pop(run_id, None)
        self._trees.pop(run_id, None)
