"""What a run itself may ask of its daemon, and the token by which a program of its shows that it does.

The owner may ask everything. A run may read its own tree and make children of the kinds that its kind
lists, and nothing else: above all it answers no question, neither its own nor another's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets as random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from penstock.log.redaction import Secrets
from penstock.runs.execution import Execution
from penstock.words.api import SubmitRequest
from penstock.words.errors import Forbidden, Refused, Unauthorised
from penstock.words.priority import Priority

#: Bytes of the key that tokens are made with; it is that of one life of the daemon and kept nowhere.
KEY_BYTES = 32
#: Letters, digits and dashes only, so that they stand in a header, in JSON and in an environment as they are.
_TOKEN = re.compile(r"run-([1-9][0-9]{0,9})-([0-9a-f]{64})-([A-Za-z0-9_-]{1,1200})")


def is_run_token(shown: str) -> bool:
    """Whether this has the form of the token of a run, good or not."""
    return _TOKEN.fullmatch(shown) is not None


@dataclass(frozen=True, slots=True)
class RunScope:
    """What one execution of a run may ask, as long as that goes on."""

    execution: Execution = field(repr=False)

    @property
    def run_id(self) -> str:
        return self.execution.run_id

    @property
    def kinds(self) -> frozenset[str]:
        """Those of which it may make children."""
        return self.execution.child_kinds

    @property
    def over(self) -> bool:
        """Whether the execution, and with it all that it may ask, is over."""
        return self.execution.over_at is not None or self.execution.concluded.is_set()

    def check(self) -> None:
        """Unauthorised once it is over."""
        if self.over:
            raise Unauthorised(f"the run {self.run_id!r}, which asks, is over")

    async def wait_over(self) -> None:
        """Until the execution's end is on record."""
        await self.execution.concluded.wait()

    def child(self, request: SubmitRequest) -> SubmitRequest:
        """The run that it asks for, as a child of its own.

        Forbidden for a kind that is not listed; Refused names the field of what else no child may have.
        """
        if request.kind not in self.kinds:
            listed = ", ".join(sorted(self.kinds)) or "none"
            why = f"the run {self.run_id!r} may make runs of these kinds only: {listed}"
            raise Forbidden(why)
        beginning = f"{self.run_id}."
        if request.run_id is not None and not request.run_id.startswith(beginning):
            raise Refused("run_id", f"must begin with {beginning!r}, or be left out")
        if request.group not in (None, self.execution.row.group):
            raise Refused("group", "is the owner's to choose")
        return request.model_copy(update={"priority": self._priority(request)})

    def _priority(self, request: SubmitRequest) -> Priority:
        own = Priority(self.execution.row.priority)
        if "priority" not in request.model_fields_set:
            return own
        if request.priority < own:
            raise Refused(
                "priority", f"is at most that of the run that asks: {own.name}"
            )
        return Priority(request.priority)


@dataclass(frozen=True, slots=True)
class RunTokens:
    """Makes and reads the tokens of executions.

    Each is derived from the run and the number of its execution, so nothing is kept of it but, in
    `secrets`, what is to be taken out of facts.
    """

    executions: Mapping[str, Execution]
    secrets: Secrets
    _key: bytes = field(
        default_factory=lambda: random.token_bytes(KEY_BYTES), repr=False
    )

    def make(self, execution: Execution, kinds: Iterable[str]) -> str:
        """The token of an execution, good for children of these kinds from now on."""
        execution.child_kinds = frozenset(kinds)
        token = self._sign(execution.run_id, execution.row.attempt)
        self.secrets.add(token)
        return token

    def forget(self, execution: Execution) -> None:
        """The execution is over, and nothing more of it is recorded."""
        if self.secrets.known:
            self.secrets.discard(self._sign(execution.run_id, execution.row.attempt))

    def read(self, shown: str) -> RunScope | None:
        """Whose token this is; None if it has no form of one. Unauthorised for one that is not good any more.

        It takes the same time however much of it is right.
        """
        told = _TOKEN.fullmatch(shown)
        if told is None:
            return None
        execution = self.executions.get(_decoded(told[3]))
        attempt = int(told[1])
        right = hmac.compare_digest(shown, self._sign(_decoded(told[3]), attempt))
        if not right or execution is None or execution.row.attempt != attempt:
            raise Unauthorised("the token is that of a run which is over, or of none")
        scope = RunScope(execution)
        scope.check()
        return scope

    def _sign(self, run_id: str, attempt: int) -> str:
        said = (
            f"what the run {run_id} may ask while it executes for the {attempt}. time"
        )
        digest = hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()
        return f"run-{attempt}-{digest}-{_encoded(run_id)}"


def _encoded(run_id: str) -> str:
    return urlsafe_b64encode(run_id.encode()).decode("ascii").rstrip("=")


def _decoded(text: str) -> str:
    """The run's id in a token; "" if it is none, which no run has."""
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return ""
