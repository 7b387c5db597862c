"""The error tree. A class's docstring is its message; arguments add what a caller can act on."""

from __future__ import annotations

from typing import Any


class PenstockError(Exception):
    """Penstock could not do this."""

    def __init__(self, detail: str = "", **facts: Any) -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip())
        #: What a surface may show beside the sentence; never a secret or a path of ours.
        self.facts = facts


class Refused(PenstockError):
    """The input was refused; nothing was recorded."""

    def __init__(self, field: str, why: str, **facts: Any) -> None:
        super().__init__(f"{field}: {why}", field=field, **facts)
        self.field = field


class TooLarge(Refused):
    """The input is larger than a limit allows."""


class NotFound(PenstockError):
    """There is no such thing here."""


class RunNotFound(NotFound):
    """No run has this id."""


class AskNotFound(NotFound):
    """The run has asked no question of this name."""


class ScheduleNotFound(NotFound):
    """There is no schedule of this name."""


class Conflict(PenstockError):
    """The fact this decision rests on has changed; read again and decide again."""


class OtherInputs(Conflict):
    """A run of this id exists with other inputs."""


class PutBack(Conflict):
    """The log does not hold the place to read on from; it was put back, or is another one."""


def put_back(after: int, first: int, *, head: int | None = None) -> PutBack:
    """What is raised, on every surface, for a place whose facts from `first` on are not of the log.

    `head` is the log's newest position, where it is known. Without it a gap of one fact does not
    tell whether the log ends before it or has another one there.
    """
    if head is None and first < after:
        head = first - 1
    what = (
        f"another event stands at position {after}, or none"
        if head is None
        else f"the log ends at position {head}, before {after}"
    )
    return PutBack(
        f"{what}: it was put back, or is another one; read it from its beginning"
    )


class AlreadyAnswered(Conflict):
    """The question was answered already, or is no longer open."""


class Fenced(PenstockError):
    """Another owner executes this run now; this one must stop and write nothing."""


class Terminal(PenstockError):
    """The run has ended; nothing is recorded for it any more."""


class QueueFull(PenstockError):
    """The queue is full; wait for room or try again later."""


class UnknownPrerequisite(Refused):
    """A run named in `after` does not exist."""


class TreeTooLarge(Refused):
    """The run's tree of children is at its limit of size or depth."""


class StoreUnavailable(PenstockError):
    """The store did not answer; whether the write happened is unknown until it does."""


class StoreAway(StoreUnavailable):
    """The store does not answer now; nothing was written."""


class StoreBroken(PenstockError):
    """The log can no longer be trusted (a removed or damaged file, a failed fsync); the daemon ends."""


class LeaseLost(StoreBroken):
    """This daemon is taken for gone by the others that share its log, and writes nothing more; it ends."""


class LogDamaged(PenstockError):
    """Part of the log is damaged and cannot be read; `penstock audit` tells where."""


class StartRefused(PenstockError):
    """The daemon cannot start."""


class LogInUse(StartRefused):
    """Another daemon has the log."""


class ShuttingDown(PenstockError):
    """The daemon is stopping and accepts no new work."""


class NotAvailable(PenstockError):
    """What this needs is not configured or not reachable now."""


class NoProcess(NotAvailable):
    """The system grants no further process or thread now; what runs uses up a limit."""


class AskExpired(PenstockError):
    """Nobody answered the question in time and it has no default."""


class ChildNotCompleted(PenstockError):
    """A child run ended without completing."""


class ProcessFailed(PenstockError):
    """The process ended with a non-zero status."""


class DaemonUnreachable(PenstockError):
    """No daemon answers; start one with `penstock serve`."""


class Unauthorised(PenstockError):
    """The token is missing or wrong; on the daemon's machine `penstock token` says where it is."""


class Forbidden(PenstockError):
    """This host or origin may not ask."""


class SourceUnusable(PenstockError):
    """The source tree cannot be fetched or read, or has nothing in it."""


class ModelFailed(PenstockError):
    """The model gave no usable answer."""


class ModelUnreachable(ModelFailed):
    """The model server does not answer."""


class ModelTruncated(ModelFailed):
    """The model stopped before its answer was complete."""


class MalformedAnswer(ModelFailed):
    """The model's answer does not have the form that was asked for."""


class ContextTooLarge(PenstockError):
    """The text is too large for every configured model."""


class BudgetSpent(PenstockError):
    """The run has used up what it may spend on models."""


class GoalNotReached(PenstockError):
    """The loop came to a limit before its goal was reached."""


class TurnFailed(PenstockError):
    """A step of the loop failed."""
