"""Budgets: tokens, money and seconds, per run and per tree of runs."""

from __future__ import annotations

import pytest

from penstock.llm.budget import Spending, Spent, judge, price
from penstock.words.config import Budget


@pytest.mark.parametrize(
    ("spent", "verdict", "word"),
    [
        (Spent(), "go", ""),
        (Spent(tokens_in=500, tokens_out=299), "go", ""),
        (Spent(tokens_in=500, tokens_out=300), "ask", "tokens"),
        (Spent(tokens_in=1000), "refuse", "tokens"),
        (Spent(cost=1.6), "ask", "money"),
        (Spent(cost=2.5), "refuse", "money"),
        (Spent(seconds=48), "ask", "seconds"),
        (Spent(seconds=60), "refuse", "seconds"),
        (Spent(tokens_in=900, seconds=61), "refuse", "seconds"),
    ],
)
def test_the_soft_line_asks_and_the_hard_line_refuses(
    spent: Spent, verdict: str, word: str
) -> None:
    found, why = judge(Budget(tokens=1000, cost=2.0, seconds=60), spent)
    assert found == verdict
    assert word in why


def test_without_limits_everything_goes() -> None:
    assert judge(Budget(), Spent(10**9, 10**9, 1e9, 1e9)) == ("go", "")


def test_a_limit_of_nothing_refuses_the_first_request() -> None:
    assert judge(Budget(cost=0.0), Spent())[0] == "refuse"


def test_a_tree_pays_for_all_its_runs() -> None:
    ledger = Spending(Budget(tokens=100), Budget(tokens=150))
    ledger.add("root", "root", Spent(tokens_in=70))
    ledger.add("root.child", "root", Spent(tokens_in=70))
    assert ledger.run("root.child").tokens == 70
    assert ledger.judge("root.child", "root")[0] == "ask"
    ledger.add("root.child", "root", Spent(tokens_in=10))
    verdict, why = ledger.judge("root", "root")
    assert verdict == "refuse"
    assert why.startswith("tree of runs: 150 of 150 tokens")
    assert ledger.judge("other", "other") == ("go", "")


def test_an_ended_run_is_forgotten_and_its_tree_pays_on() -> None:
    ledger = Spending(Budget(), Budget())
    ledger.add("root.child", "root", Spent(cost=1.0))
    ledger.forget("root.child")
    assert ledger.run("root.child") == Spent()
    assert ledger.tree("root").cost == 1.0
    ledger.forget("root")
    assert ledger.tree("root") == Spent()


def test_prices_are_per_million_tokens() -> None:
    assert price(1_000_000, 500_000, 2.0, 8.0) == 6.0
    assert price(1_000_000, 500_000, None, None) == 0.0
