"""An example for the help of each verb that has none in its own words."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, str] = {
    "run": "penstock run make test",
    "submit": "penstock submit --group disk rsync -a src/ /backup",
    "status": "penstock status",
    "list": "penstock list state:failed pytest",
    "artifacts": "penstock artifacts 12 summary",
    "queue": "penstock queue",
    "pause": "penstock pause --group disk --reason 'disk is being replaced'",
    "resume": "penstock resume --group disk",
    "drain": "penstock drain",
    "slots": "penstock slots 6",
    "schedules": "penstock schedules",
    "stash": "penstock stash 12",
    "enqueue": "penstock enqueue 12 --in 3h",
    "move": "penstock move 12 --first",
    "priority": "penstock priority 12 high",
    "edit": "penstock edit 12",
    "asks": "penstock asks",
    "answer": "penstock answer 12 yes",
    "intervene": "penstock intervene 12 'leave the tests alone'",
    "events": "penstock events 12 --type run.completed",
    "export": "penstock export log.ndjson",
    "audit": "penstock audit",
    "prune": "penstock prune",
    "import": "penstock import log.ndjson",
    "migrate": "penstock migrate --to 'postgresql://penstock@db.example/penstock?sslmode=verify-full'",
    "models": "penstock models",
    "context": "penstock context 12",
    "serve": "penstock serve",
    "shutdown": "penstock shutdown",
    "tui": "penstock tui",
    "mcp": "penstock mcp",
    "health": "penstock health",
    "clients": "penstock clients",
    "service": "penstock service install",
    "doctor": "penstock doctor",
    "config": "penstock config",
    "token": "penstock token",
    "completions": "penstock completions --install",
}


def with_example(verb: str, epilog: str | None) -> str | None:
    """What stands below the help of a verb."""
    example = EXAMPLES.get(verb)
    if example is None:
        return epilog
    return f"Example: {example}" + (f"\n\n{epilog}" if epilog else "")
