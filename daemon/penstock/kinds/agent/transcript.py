"""What an agent says and does, as facts: pieces are joined, repetitions left out, all of it bounded.

Nothing is told at once. What has come is kept until somebody takes it (`flush`), and until then a piece
joins the one before it, and a tool call that is told again replaces what was told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from penstock.kinds.agent.offered import mapping, mappings, text_of
from penstock.kinds.agent.permissions import AgentAct
from penstock.kinds.agent.said import LONGEST_PIECE, GrowingText, Role, SaidPiece
from penstock.kinds.agent.tool_call import AgentCall, shown_content
from penstock.kinds.agent.usage import TurnUsage, read_usage, told_cost
from penstock.pipeline import (
    AnyEvent,
    ModelUsed,
    PlanEntry,
    PlanUpdated,
    Progress,
    ToolEnded,
)

#: Characters of the last message that are kept for the report.
LONGEST_SUMMARY = 64 * 1024
#: Characters and facts that wait before they are to be taken at once. As many facts may be recorded in
#: one go, and an agent that never says two things alike still makes no more of them at a time.
MOST_WAITING = 256 * 1024
MOST_FACTS = 200
#: Calls that are under way at once; of more, the oldest are told as cancelled.
MOST_CALLS = 200
#: Entries of a plan, and characters of each and of a step.
MOST_ENTRIES = 100
LONGEST_ENTRY = 1000
LONGEST_STEP = 200

CallEnd = Literal["completed", "failed", "cancelled"]
_ROLES: Mapping[str, Role] = {
    "agent_message_chunk": "agent",
    "agent_thought_chunk": "thought",
    "user_message_chunk": "user",
}
_CALL_ENDS: frozenset[str] = frozenset(get_args(CallEnd))


class Transcript:
    """One life of an agent's program. `life` tells its messages from those of other lives.

    `cost_before` is what the agent told last of the session's cost in the life before: some go on to
    count, and some begin anew. `needs_asking` says whether an act may not be done unasked.
    """

    def __init__(
        self,
        life: int,
        tree: Path,
        agent: str,
        cost_before: float = 0.0,
        needs_asking: Callable[[AgentAct], bool] = lambda _act: True,
    ) -> None:
        self._needs_asking = needs_asking
        self._life = life
        self._tree = tree
        #: What answers are booked on until the agent names its model.
        self.model = agent
        self._waiting: list[AnyEvent | SaidPiece] = []
        self._size = 0
        self._step: Progress | None = None
        self._fraction: float | None = None
        self._calls: dict[str, AgentCall] = {}
        self._message = 0
        #: Whose message the last piece was, and under which id; None: the next piece begins another.
        self._speaking: tuple[Role, str] | None = None
        self._pieces_usage = TurnUsage()
        self._uncounted = 0.0
        self._last_message = GrowingText(LONGEST_SUMMARY)
        #: Calls that have ended, of which nothing more is told.
        self._ended: dict[str, None] = {}
        #: Of this life: money, in the currency that the agent counts in, and tokens in both directions.
        self.cost = 0.0
        self.tokens = 0
        #: What the session cost so far, as the agent told it last.
        self.session_cost = cost_before
        #: Calls that asked before they ran, and that should have.
        self.asked = 0
        self.unasked = 0

    @property
    def text(self) -> str:
        """The end of the last message of the agent."""
        return str(self._last_message)

    @property
    def full(self) -> bool:
        """Whether so much waits that it should be taken at once."""
        return self._size >= MOST_WAITING or len(self._waiting) >= MOST_FACTS

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting and self._step is None and not self._uncounted

    def flush(self) -> list[AnyEvent]:
        """What has come since the last time, in its order; few enough to be recorded in one go."""
        facts = [
            it.to_tell() if isinstance(it, SaidPiece) else it for it in self._waiting
        ]
        self._waiting, self._size = [], 0
        if self._uncounted:
            facts.append(ModelUsed(model=self.model, cost=self._uncounted))
            self._uncounted = 0.0
        if self._step is not None:
            facts.append(self._step)
            self._step = None
        return facts

    def take(self, update: Mapping[str, Any]) -> None:
        """The agent tells this."""
        kind = text_of(update.get("sessionUpdate"))
        if kind in _ROLES:
            self._take_piece(_ROLES[kind], update)
        elif kind in ("tool_call", "tool_call_update"):
            self._take_call(update)
        elif kind == "plan":
            self._take_plan(update)
        elif kind == "usage_update":
            self._take_cost(update)

    def take_wish(self, call: Mapping[str, Any]) -> AgentAct:
        """The agent wants to be allowed this call: what it is, with all that was told of it before."""
        known = self._call(call)
        known.merge(call)
        if not known.asked:
            known.asked = True
            self.asked += 1
        self._tell_call(known)
        return replace(known.act, diff=known.diff)

    def end_turn(self, result: Mapping[str, Any]) -> None:
        """A turn has ended with this: what it took, and that nothing is under way any more."""
        usage = read_usage(result) or self._pieces_usage
        self._pieces_usage = TurnUsage()
        if usage.model:
            self.model = usage.model
        if usage.tokens_in or usage.tokens_out:
            self.tokens += usage.tokens_in + usage.tokens_out
            used = ModelUsed(model=self.model, tokens_in=usage.tokens_in, tokens_out=usage.tokens_out)  # fmt: skip
            self._add(used, 0)
        self.close()

    def close(self) -> None:
        """The turn is over, or the agent is gone: what was under way is not any more."""
        for call in list(self._calls.values()):
            self._end_call(call, "cancelled")
        self._speaking = None

    # -- words

    def _take_piece(self, role: Role, update: Mapping[str, Any]) -> None:
        if usage := read_usage(update):
            self._pieces_usage = self._pieces_usage.plus(usage)
        text = shown_content(mapping(update.get("content")))
        if not text:
            return
        speaking = (role, text_of(update.get("messageId")))
        if self._speaking is None or not self._same_message(speaking):
            self._message += 1
            if role == "agent":
                self._last_message = GrowingText(LONGEST_SUMMARY)
        self._speaking = speaking
        if role == "agent":
            self._last_message.add(text)
        while text:
            text = text[self._add_piece(role, text) :]

    def _same_message(self, speaking: tuple[Role, str]) -> bool:
        # One that gives each word an id of its own gets no fact for each.
        crowded = len(self._waiting) >= MOST_FACTS // 2
        same_role = self._speaking is not None and self._speaking[0] == speaking[0]
        return self._speaking == speaking or (same_role and crowded)

    def _add_piece(self, role: Role, text: str) -> int:
        """Keep as much of a text as one fact holds, and say how much."""
        message = f"{self._life}.{self._message}"
        last = self._waiting[-1] if self._waiting else None
        if not isinstance(last, SaidPiece) or last.message != message or last.words.size >= LONGEST_PIECE:  # fmt: skip
            last = SaidPiece(message, role)
            self._add(last, 0)
        told = text[: LONGEST_PIECE - last.words.size]
        last.words.add(told)
        self._size += len(told)
        return len(told)

    # -- tools

    def _call(self, update: Mapping[str, Any]) -> AgentCall:
        name = _name_of(update)
        if name not in self._calls:
            if len(self._calls) >= MOST_CALLS:
                self._end_call(next(iter(self._calls.values())), "cancelled")
            self._calls[name] = AgentCall(name, self._life, self._tree)
        return self._calls[name]

    def _take_call(self, update: Mapping[str, Any]) -> None:
        # What is said after a tool was used is said anew, whatever its id.
        self._speaking = None
        late = update.get("sessionUpdate") == "tool_call_update"
        if late and _name_of(update) in self._ended:
            return
        call = self._call(update)
        call.merge(update)
        status = text_of(update.get("status"))
        if status in _CALL_ENDS:
            self._end_call(call, cast("CallEnd", status))
        elif status not in ("", "pending") or call.known.get("rawInput"):
            # Some announce a call before they know what it is.
            self._tell_call(call)

    def _tell_call(self, call: AgentCall) -> None:
        told = call.to_tell()
        if told == call.told:
            return
        self._step = Progress(step=(told.title or told.tool)[:LONGEST_STEP], fraction=self._fraction)  # fmt: skip
        for k, waiting in enumerate(self._waiting):
            if waiting is call.told:
                self._waiting[k] = told
                break
        else:
            self._add(told, len(told.title) + LONGEST_STEP)
        call.told = told

    def _end_call(self, call: AgentCall, status: CallEnd) -> None:
        self._calls.pop(call.id, None)
        self._ended[call.id] = None
        if len(self._ended) > MOST_CALLS:
            del self._ended[next(iter(self._ended))]
        if call.told is None:
            if status == "cancelled":
                return
            self._tell_call(call)
        if status != "cancelled" and not call.asked and self._needs_asking(call.act):
            self.unasked += 1
        output = call.output
        diff = call.diff if status != "cancelled" else ""
        ended = ToolEnded(call=call.name, status=status, output=output, diff=diff)  # fmt: skip
        self._add(ended, len(output) + len(diff))

    # -- plan and money

    def _take_plan(self, update: Mapping[str, Any]) -> None:
        self._speaking = None
        entries = tuple(
            _entry(entry) for entry in mappings(update.get("entries"))[:MOST_ENTRIES]
        )
        plan = PlanUpdated(entries=entries)
        if self._waiting and isinstance(self._waiting[-1], PlanUpdated):
            self._waiting[-1] = plan
        else:
            self._add(plan, sum(len(entry.content) for entry in entries))
        if entries:
            done = sum(entry.status == "completed" for entry in entries)
            self._fraction = done / len(entries)
            now = (e.content for e in entries if e.status == "in_progress")
            step = next(now, "plan")[:LONGEST_STEP]
            self._step = Progress(step=step, fraction=self._fraction)

    def _take_cost(self, update: Mapping[str, Any]) -> None:
        cost = told_cost(update)
        if cost is None:
            return
        if cost < self.session_cost and self.cost == 0.0:
            # It counts anew in this life.
            self.session_cost = 0.0
        if cost > self.session_cost:
            self.cost += cost - self.session_cost
            self._uncounted += cost - self.session_cost
            self.session_cost = cost

    def _add(self, fact: AnyEvent | SaidPiece, size: int) -> None:
        self._waiting.append(fact)
        self._size += size


def _name_of(update: Mapping[str, Any]) -> str:
    return text_of(update.get("toolCallId"))[:LONGEST_STEP]


def _entry(entry: Mapping[str, Any]) -> PlanEntry:
    status, priority = entry.get("status"), entry.get("priority")
    return PlanEntry(
        content=text_of(entry.get("content"))[:LONGEST_ENTRY],
        status=status if status in ("pending", "in_progress", "completed") else "pending",
        priority=priority if priority in ("high", "medium", "low") else "medium",
    )  # fmt: skip
