"""The configured models as surfaces list them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.llm.chain import Chain


def list_models(chain: Chain, problems: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row per model, small to large; `problems` is what `models.probe` found.

    Speed and accuracy are measured by use, so they are unknown before the first answer.
    """
    return [
        {
            "model": link.model,
            "url": link.url,
            "window": link.window,
            "window_assumed": link.window_assumed,
            "problem": problems.get(link.url, ""),
            "requests": link.requests,
            "failures": link.failures,
            "active": link.active,
            "waiting": link.waiting,
            "tokens_per_second": link.tokens_per_second,
            "reported_per_estimated": link.reported_per_estimated,
        }
        for link in chain.statistics()
    ]
