"""How an agent fails whoever asked it for something."""

from __future__ import annotations

from penstock.kinds.agent.messages import Fault
from penstock.pipeline import PenstockError

_LOGIN_NEEDED = -32000


class AgentGone(PenstockError):
    """The agent has ended."""


class AgentUnfit(PenstockError):
    """The agent cannot be used as it was asked for."""


class AgentRefused(PenstockError):
    """The agent answered with an error."""

    def __init__(self, method: str, fault: Fault) -> None:
        super().__init__(f"the agent refused {method}: {fault.message} ({fault.code})")
        self.method = method
        self.code = fault.code
        self.message = fault.message
        self.data = fault.data

    @property
    def needs_login(self) -> bool:
        """Whether its user has to log in first."""
        return self.code == _LOGIN_NEEDED
