"""Coding agents at work, for a dashboard to show: one that asks, one without quota, a silent one, one that is done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fakes.tui_scene import World
from penstock.words import events as e
from penstock.words.wait_reason import Waiting

#: What each of them is called.
ASKS, QUOTA, SILENT, DONE, HOSTILE = (
    "r-a9e1",
    "r-a9e2",
    "r-a9e3",
    "r-a9e4",
    "r-a9e5",
)
EDIT = """\
--- a/src/door.py
+++ b/src/door.py
@@ -40,4 +40,5 @@ class Door:
     async def close(self) -> None:
-        self.stream.close()
+        with trio.CancelScope(shield=True):
+            await self.stream.aclose()
         self.closed = True
"""
PATCH = """\
diff --git a/src/door.py b/src/door.py
index 1111111..2222222 100644
--- a/src/door.py
+++ b/src/door.py
@@ -40,4 +40,5 @@ class Door:
     async def close(self) -> None:
-        self.stream.close()
+        with trio.CancelScope(shield=True):
+            await self.stream.aclose()
         self.closed = True
diff --git a/tests/test_door.py b/tests/test_door.py
new file mode 100644
index 0000000..3333333
--- /dev/null
+++ b/tests/test_door.py
@@ -0,0 +1,2 @@
+async def test_a_door_closes() -> None:
+    assert (await opened()).closed
"""
SAID = (
    "I looked at **`Door.close`**: it is *synchronous*, so a cancel between the two lines",
    " leaves the stream open.\n\n## What I will do\n\n1. shield the closing\n2. test it, see",
    " [the guide](https://trio.example/cancel)\n\n```python\nwith trio.CancelScope(shield=True):\n    ...\n```\n",
)
#: What a hostile agent would have a terminal do.
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202e right\x1b]8;;http://evil.example\x07link\x1b]8;;\x07"


def agents_at_work(world: World) -> World:
    """In the order in which a core with five slots records them."""
    world.begin()
    _done(world)
    _asks(world)
    _quota(world)
    _silent(world)
    _hostile(world)
    world.record(ASKS, _question(), 20)
    world.record(ASKS, e.RunWaiting.of(Waiting("ask", "permit-1")), 20)
    return world


def _begin(world: World, run_id: str, agent: str, prompt: str, ago: float) -> None:
    inputs = {"prompt": prompt, "agent": agent}
    labels = {"agent": agent}
    world.submit(run_id, "agent", inputs, 20, ago, labels=labels)
    world.start(run_id, ago - 2)


def _said(text: str, message: str = "1.1", role: Any = "agent") -> e.AgentSaid:
    return e.AgentSaid(message=message, role=role, text=text)


def _question() -> e.AskRaised:
    return e.AskRaised(
        name="permit-1",
        question="May claude edit src/door.py?",
        choices=("allow", "deny"),
        details={
            "tool": "edit",
            "title": "Edit src/door.py",
            "paths": ["src/door.py"],
            "diff": EDIT,
        },
    )


def _asks(world: World) -> None:
    _begin(world, ASKS, "claude", "close the door on a cancel too", 300)
    world.record(
        ASKS, _said("The user wants a door.\nI should read it first.", "1.0", "thought"), 290
    )  # fmt: skip
    for piece in SAID:
        world.record(ASKS, _said(piece), 280)
    plan = [("read the door", "completed"), ("shield the closing", "in_progress"), ("test it", "pending")]  # fmt: skip
    entries = tuple(
        e.PlanEntry.model_validate({"content": content, "status": status})
        for content, status in plan
    )
    world.record(ASKS, e.PlanUpdated(entries=entries), 270)
    _tool(world, ASKS, "read", "Read src/door.py", ("src/door.py",), 260, output="class Door:\n    …\n")  # fmt: skip
    world.record(
        ASKS,
        e.ToolCalled(call="t2", title="pytest -q tests/test_door.py", tool="execute",
                     input={"command": "pytest -q tests/test_door.py"}),
        200,
    )  # fmt: skip
    failed = "E   assert False\n1 failed, 11 passed in 0.3s\n"
    world.record(ASKS, e.ToolEnded(call="t2", status="failed", output=failed), 120)
    used = e.ModelUsed(model="claude", tokens_in=11_200, tokens_out=940, cost=0.031)
    world.record(ASKS, used, 110)
    world.record(ASKS, _said("One test fails as I thought. I shield it now.", "1.2"), 60)  # fmt: skip


def _tool(
    world: World, run_id: str, tool: Any, title: str, paths: tuple[str, ...], ago: float, **ended: Any
) -> None:  # fmt: skip
    call = f"t-{title}"
    world.record(run_id, e.ToolCalled(call=call, title=title, tool=tool, paths=paths, asked=tool == "edit"), ago)  # fmt: skip
    world.record(run_id, e.ToolEnded(call=call, status="completed", **ended), ago - 1)


def _quota(world: World) -> None:
    _begin(world, QUOTA, "codex", "write the release notes", 250)
    until = world.now + timedelta(minutes=86)
    wait = Waiting("quota", "codex", until)
    world.record(QUOTA, e.RunWaiting.of(wait), 240)


def _silent(world: World) -> None:
    _begin(world, SILENT, "opencode", "port the tests to Trio", 2000)
    world.record(SILENT, _said("I begin with the fixtures."), 1990)


def _done(world: World) -> None:
    _begin(world, DONE, "claude", "close the door on a cancel", 900)
    _tool(world, DONE, "edit", "Edit src/door.py", ("src/door.py",), 880, diff=EDIT)
    world.record(DONE, _said("Done: the door closes, whatever happens."), 860)
    for artifact, text in (("changes.patch", PATCH), ("report.md", "# Done\n")):
        piece = e.ArtifactPartial(artifact_id=artifact, text=text)
        world.record(DONE, piece, 850)
        whole = e.ArtifactCompleted(artifact_id=artifact, size=len(text), sha256="0")
        world.record(DONE, whole, 850)
    world.record(DONE, e.RunCompleted(result={"exit_code": 0}), 840)


def _hostile(world: World) -> None:
    """Whatever may hold a text holds what no terminal may obey."""
    _begin(world, HOSTILE, "evil", f"be nice {ESCAPES}", 150)
    world.record(HOSTILE, _said(f"**bold** {ESCAPES}\n```\n{ESCAPES}\n```\n| {ESCAPES} |\n# {ESCAPES}\n"), 140)  # fmt: skip
    world.record(HOSTILE, _said(ESCAPES, "1.2", "thought"), 139)
    world.record(HOSTILE, e.PlanUpdated(entries=(e.PlanEntry(content=ESCAPES),)), 138)
    diff = f"--- a/{ESCAPES}\n+++ b/{ESCAPES}\n@@ -1 +1 @@ {ESCAPES}\n-{ESCAPES}\n+{ESCAPES}\n"
    _tool(world, HOSTILE, "edit", ESCAPES, (ESCAPES,), 137, output=ESCAPES, diff=diff)
    world.record(HOSTILE, e.ArtifactPartial(artifact_id="changes.patch", text=diff), 136)  # fmt: skip
    question = e.AskRaised(
        name="permit-1",
        question=f"May it? {ESCAPES}",
        choices=("allow", "deny"),
        details={"tool": ESCAPES, "title": ESCAPES, "command": ESCAPES, "paths": [ESCAPES], "diff": diff},
    )  # fmt: skip
    world.record(HOSTILE, question, 130)
    world.record(HOSTILE, e.RunWaiting.of(Waiting("ask", "permit-1")), 130)
