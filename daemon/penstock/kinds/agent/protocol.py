"""The client's half of the Agent Client Protocol, version 1: bytes in, happenings out, no I/O.

What may be asked in which phase, and what follows, stands in two tables. An agent is held to nothing:
whatever it says at the wrong time, twice, or under a wrong id is noise, and too much noise is the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from penstock.kinds.agent.messages import (
    LONGEST_LINE,
    AgentAnswer,
    AgentLines,
    AgentNotice,
    AgentRequest,
    Fault,
    Message,
    Noise,
    encode_message,
    read_message,
)
from penstock.kinds.agent.offered import PermissionWish, mapping, read_wish

#: The version that is spoken; what agents answer to another one is not known.
VERSION = 1
#: Bytes that are no message before the program is no agent; a launcher's warnings are less.
MOST_NOISE = 64 * 1024
#: Wishes that may be open at once: each is a task, and a person's question.
MOST_WISHES = 100

_NO_SUCH_METHOD = -32601
_WRONG_PARAMS = -32602
_TOO_MANY = -32000
_REQUEST_CANCELLED = -32800


class AgentPhase(StrEnum):
    """Where the conversation stands."""

    NEW = "new"
    GREETING = "greeting"
    GREETED = "greeted"
    #: A session is made, or taken up again without its past.
    OPENING = "opening"
    #: A session is taken up, and its past is told once more.
    LOADING = "loading"
    READY = "ready"
    TURN = "turn"
    CANCELLING = "cancelling"


_P = AgentPhase

#: What may be asked for in a phase, and the phase that begins with it.
ASKING: Mapping[tuple[AgentPhase, str], AgentPhase] = {
    (_P.NEW, "initialize"): _P.GREETING,
    (_P.GREETED, "session/new"): _P.OPENING,
    (_P.GREETED, "session/resume"): _P.OPENING,
    (_P.GREETED, "session/load"): _P.LOADING,
    (_P.READY, "session/set_mode"): _P.READY,
    (_P.READY, "session/set_model"): _P.READY,
    (_P.READY, "session/set_config_option"): _P.READY,
    (_P.READY, "session/prompt"): _P.TURN,
}

#: The phases that end with an answer: what a result leads to, and what an error does.
ANSWERED: Mapping[AgentPhase, tuple[AgentPhase, AgentPhase]] = {
    _P.GREETING: (_P.GREETED, _P.NEW),
    _P.OPENING: (_P.READY, _P.GREETED),
    _P.LOADING: (_P.READY, _P.GREETED),
    _P.TURN: (_P.READY, _P.READY),
    _P.CANCELLING: (_P.READY, _P.READY),
}

#: Whatever is told while a session is taken up is its past, and no news.
_PAST = {_P.OPENING, _P.LOADING}


@dataclass(frozen=True, slots=True)
class AgentReply:
    """What is to be sent to the agent now."""

    line: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """The agent tells what it does; `past` if it told so before."""

    update: dict[str, Any]
    past: bool


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The agent needs no answer to its wish any more."""

    id: int | str


Happening = AgentAnswer | Update | PermissionWish | Withdrawal | AgentReply | Noise


class AgentProtocol:
    """One conversation. The numbers of requests are the client's own, and used once."""

    def __init__(self) -> None:
        self.phase = AgentPhase.NEW
        #: Why nothing more can be understood; "" while it can.
        self.broken = ""
        self._session: str | None = None
        self._lines = AgentLines()
        self._number = 0
        #: What waits for an answer, and whether the phase ends with it.
        self._asked: dict[int, tuple[str, bool]] = {}
        self._opening: str | None = None
        self._wishes: set[int | str] = set()
        self._noise = 0

    def ask(self, method: str, params: Mapping[str, Any]) -> tuple[int, bytes]:
        """The number of a request, and its line. RuntimeError if it is not its time."""
        following = ASKING.get((self.phase, method))
        if following is None:
            raise RuntimeError(f"{method} is not asked for in the phase {self.phase}")
        self._number += 1
        self._asked[self._number] = (method, following in ANSWERED)
        if following in _PAST:
            told = params.get("sessionId")
            self._opening = told if isinstance(told, str) else None
        self.phase = following
        message = {"id": self._number, "method": method, "params": dict(params)}
        return self._number, encode_message(message)

    def cancel_turn(self) -> bytes:
        """The line that takes a turn back; empty if none is under way."""
        if self.phase is not AgentPhase.TURN:
            return b""
        self.phase = AgentPhase.CANCELLING
        params = {"sessionId": self._session}
        return encode_message({"method": "session/cancel", "params": params})

    def answer_wish(self, wish: int | str, option: str | None) -> bytes:
        """The line that answers a wish, by an option or as cancelled; empty if it is not open."""
        if wish not in self._wishes:
            return b""
        self._wishes.discard(wish)
        chosen = {"outcome": "selected", "optionId": option}
        outcome = chosen if option is not None else {"outcome": "cancelled"}
        return encode_message({"id": wish, "result": {"outcome": outcome}})

    def give_up_wish(self, wish: int | str) -> bytes:
        """The line that answers a wish which the agent took back; empty if it is not open."""
        if wish not in self._wishes:
            return b""
        self._wishes.discard(wish)
        return _refusal(wish, _REQUEST_CANCELLED, "cancelled")

    def receive(self, data: bytes) -> Iterator[Happening]:
        """What these bytes bring about, one after the other; nothing once it is broken."""
        for line in self._lines.feed(data):
            if self.broken:
                return
            message = read_message(line) if isinstance(line, bytes) else line
            yield from self._take(message)
        if self._lines.overlong and not self.broken:
            most = LONGEST_LINE // 1024 // 1024
            self.broken = f"the agent wrote a line of more than {most} MiB"

    def _take(self, message: Message) -> Iterator[Happening]:
        if isinstance(message, AgentAnswer):
            yield self._take_answer(message)
        elif isinstance(message, AgentRequest):
            yield self._take_request(message)
        elif isinstance(message, AgentNotice):
            yield from self._take_notice(message)
        else:
            yield self._take_noise(message)

    def _take_noise(self, noise: Noise) -> Noise:
        self._noise += noise.size
        if self._noise > MOST_NOISE:
            self.broken = "the agent writes what is no message of the protocol"
        return noise

    def _take_answer(self, answer: AgentAnswer) -> Happening:
        asked = self._asked.pop(answer.number, None)
        if asked is None:
            text = f"an answer to nothing that was asked: {answer.number}"
            return self._take_noise(Noise(text, len(text)))
        method, ends_phase = asked
        if method == "initialize" and answer.fault is None:
            self._check_version(mapping(answer.result).get("protocolVersion"))
        if ends_phase and self.phase in _PAST and answer.fault is None:
            answer = self._take_session(answer)
        if ends_phase:
            good, bad = ANSWERED[self.phase]
            self.phase = good if answer.fault is None else bad
        return answer

    def _take_session(self, answer: AgentAnswer) -> AgentAnswer:
        told = self._opening or mapping(answer.result).get("sessionId")
        if not isinstance(told, str) or not told:
            fault = Fault(0, "it opened a session and gave no id")
            return AgentAnswer(answer.number, fault=fault)
        self._session = told
        return answer

    def _check_version(self, version: Any) -> None:
        if version != VERSION or isinstance(version, bool):
            told = f"version {version}" if isinstance(version, int) else "no version"
            self.broken = f"the agent speaks {told} of the protocol, and not {VERSION}"

    @property
    def session(self) -> str | None:
        """The id of the session; None before there is one."""
        return self._session

    def _take_request(self, request: AgentRequest) -> Happening:
        if request.method != "session/request_permission":
            why = f"{request.method} is not offered"
            return AgentReply(_refusal(request.id, _NO_SUCH_METHOD, why))
        if request.params.get("sessionId") != self._session:
            return AgentReply(_refusal(request.id, _WRONG_PARAMS, "no such session"))
        if request.id in self._wishes:
            text = f"two requests under one id: {request.id}"
            return self._take_noise(Noise(text, len(text)))
        if len(self._wishes) >= MOST_WISHES:
            why = f"{MOST_WISHES} permissions are asked for already"
            return AgentReply(_refusal(request.id, _TOO_MANY, why))
        self._wishes.add(request.id)
        if self.phase not in (AgentPhase.READY, AgentPhase.TURN):
            return AgentReply(self.answer_wish(request.id, None))
        return read_wish(request.id, request.params)

    def _take_notice(self, notice: AgentNotice) -> Iterator[Happening]:
        if notice.method == "$/cancel_request":
            wish = notice.params.get("requestId")
            if isinstance(wish, int | str) and wish in self._wishes:
                yield Withdrawal(wish)
        elif notice.method == "session/update":
            past = self.phase in _PAST
            update = notice.params.get("update")
            ours = past or notice.params.get("sessionId") == self._session
            if ours and isinstance(update, dict):
                yield Update(update, past)


def _refusal(request: int | str, code: int, message: str) -> bytes:
    error = {"code": code, "message": message}
    return encode_message({"id": request, "error": error})
