"""Public: all that the kinds of runs are made of. Plug-ins import this and nothing else of Penstock.

The daemon's own kinds do the same. See docs/pipelines.md; `penstock.testing` is for their tests.
"""

from penstock.carried import carry_code, launch_carried, modules_below
from penstock.concurrency.deferred import DeferredFailure
from penstock.concurrency.late import import_late
from penstock.concurrency.threads import run_in_thread
from penstock.llm.budget import judge as judge_budget
from penstock.llm.context import Layers, build_layers, read_layers
from penstock.llm.durable import spent_below
from penstock.llm.prompts import PromptCache
from penstock.llm.run_models import (
    AnswerForm,
    Check,
    ModelAnswer,
    OnDelta,
    load_programs,
)
from penstock.llm.token_estimate import estimate as estimate_tokens
from penstock.log.projections import AskView, RunView
from penstock.processes.pseudoterminal import WindowSize
from penstock.runs.artifact_writer import Artifact
from penstock.runs.kind import Inputs, Kind, Output
from penstock.runs.program import Executed, OnStdout, end_in_words
from penstock.runs.run import Run, ToolsServer
from penstock.runs.running_program import NobodyReads, RunningProcess
from penstock.words.config import (
    AgentProgram,
    Agents,
    Budget,
    Config,
    ModelRole,
)
from penstock.words.display import plain_text
from penstock.words.errors import (
    AskExpired,
    BudgetSpent,
    ChildNotCompleted,
    ContextTooLarge,
    GoalNotReached,
    MalformedAnswer,
    ModelFailed,
    ModelTruncated,
    NotAvailable,
    PenstockError,
    ProcessFailed,
    Refused,
    ShuttingDown,
    SourceUnusable,
    TurnFailed,
)
from penstock.words.events import (
    DROPPABLE_TYPES,
    AgentSaid,
    AnalysisCompleted,
    AnyEvent,
    BugReported,
    CodeGenerated,
    CorrectionCompleted,
    CorrectionStarted,
    InterventionReceived,
    Log,
    Milestone,
    ModelUsed,
    ModuleIterated,
    ModuleStarted,
    PlanCompleted,
    PlanEntry,
    PlanUpdated,
    Progress,
    StepCompleted,
    StepFailed,
    TestFailed,
    TestPassed,
    TestStarted,
    ToolCalled,
    ToolEnded,
    ToolKind,
)
from penstock.words.json_meter import JsonMeter
from penstock.words.lifecycle import COMPLETED, OnRestart
from penstock.words.printed import bytes_of
from penstock.words.priority import Priority, priority_of_event
from penstock.words.recorded import Recorded
from penstock.words.staleness import CodeMark
from penstock.words.staleness import judge as judge_staleness
from penstock.words.wait_reason import Waiting

__all__ = [
    "COMPLETED",
    "DROPPABLE_TYPES",
    "AgentProgram",
    "AgentSaid",
    "Agents",
    "AnalysisCompleted",
    "AnswerForm",
    "AnyEvent",
    "Artifact",
    "AskExpired",
    "AskView",
    "Budget",
    "BudgetSpent",
    "BugReported",
    "Check",
    "ChildNotCompleted",
    "CodeGenerated",
    "CodeMark",
    "Config",
    "ContextTooLarge",
    "CorrectionCompleted",
    "CorrectionStarted",
    "DeferredFailure",
    "Executed",
    "GoalNotReached",
    "Inputs",
    "InterventionReceived",
    "JsonMeter",
    "Kind",
    "Layers",
    "Log",
    "MalformedAnswer",
    "Milestone",
    "ModelAnswer",
    "ModelFailed",
    "ModelRole",
    "ModelTruncated",
    "ModelUsed",
    "ModuleIterated",
    "ModuleStarted",
    "NobodyReads",
    "NotAvailable",
    "OnDelta",
    "OnRestart",
    "OnStdout",
    "Output",
    "PenstockError",
    "PlanCompleted",
    "PlanEntry",
    "PlanUpdated",
    "Priority",
    "ProcessFailed",
    "Progress",
    "PromptCache",
    "Recorded",
    "Refused",
    "Run",
    "RunView",
    "RunningProcess",
    "ShuttingDown",
    "SourceUnusable",
    "StepCompleted",
    "StepFailed",
    "TestFailed",
    "TestPassed",
    "TestStarted",
    "ToolCalled",
    "ToolEnded",
    "ToolKind",
    "ToolsServer",
    "TurnFailed",
    "Waiting",
    "WindowSize",
    "build_layers",
    "bytes_of",
    "carry_code",
    "end_in_words",
    "estimate_tokens",
    "import_late",
    "judge_budget",
    "judge_staleness",
    "launch_carried",
    "load_programs",
    "modules_below",
    "plain_text",
    "priority_of_event",
    "read_layers",
    "run_in_thread",
    "spent_below",
]
