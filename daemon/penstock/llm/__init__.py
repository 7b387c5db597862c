"""How models are asked: routing, context, budgets, and the two protocols of their servers."""
