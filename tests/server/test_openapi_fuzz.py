"""The OpenAPI document against the daemon it describes: no request it allows breaks the daemon, and each
answer is one of those that it tells: its status, media type, headers and shape.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fakes.real_daemon import RealDaemon

#: What an answer is held against.
CONFORMING = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Requests per operation: enough to try each field wrong once, in well under a minute altogether.
EXAMPLES = 8
#: Seconds for one answer; a request that waits longer is told so by the daemon first.
ANSWER_SECONDS = 20.0


@pytest.fixture
def closed_daemon(
    start_daemon: Callable[..., RealDaemon], home: Path
) -> tuple[RealDaemon, str]:
    """A daemon whose one slot is held, so that nothing the requests submit is ever executed."""
    daemon = start_daemon(PENSTOCK_MAX_CONCURRENT="1")
    token = (home / "state/penstock/token").read_text().strip()
    held = {
        "kind": "command",
        "inputs": {"argv": ["sleep", "600"]},
        "priority": "CRITICAL",
        "run_id": f"held-{secrets.token_hex(8)}",
    }
    answer = httpx.post(
        f"{daemon.url}/runs", json=held, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 202
    return daemon, token


def test_no_request_of_the_document_breaks_the_daemon(
    closed_daemon: tuple[RealDaemon, str],
) -> None:
    """ER-02 API-04 API-07"""
    daemon, token = closed_daemon
    headers = {"Authorization": f"Bearer {token}"}
    document = httpx.get(f"{daemon.url}/openapi.json", headers=headers).json()
    schema = schemathesis.openapi.from_dict(document)
    operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) > 15
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            # Who asks to wait does wait: for room, for a cancel, for a queue that never drains.
            (case.query or {}).pop("wait", None)
            response = case.call(
                base_url=daemon.url, headers=headers, timeout=ANSWER_SECONDS
            )
            # 503 is an answer: the queue is closed, say. Anything else from 500 on is a fault.
            assert response.status_code < 500 or response.status_code == 503
            case.validate_response(response, checks=CONFORMING)

        ask()
    assert httpx.get(f"{daemon.url}/health").json()["status"] == "ok"
