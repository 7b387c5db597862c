"""Prompts for the frequent jobs, and what completes their arguments."""

from __future__ import annotations

import pytest
from mcp.types import (
    PromptReference,
    ResourceTemplateReference,
    TextContent,
)

from fakes.cores import Nothing, kind, open_fake_core, request, wait_ended
from penstock.pipeline import Run
from penstock.server.mcp.prompts import JOBS, complete, prompt_of
from penstock.server.mcp.tools import TOOLS
from penstock.words.errors import NotFound, Refused


async def story(run: Run, _inputs: object) -> Nothing:
    async with run.artifact("story") as artifact:
        await artifact.write("Once")
    return Nothing()


def words_of(name: str, **arguments: str) -> str:
    [message] = prompt_of(name, arguments).messages
    assert isinstance(message.content, TextContent)
    return message.content.text


def test_a_prompt_holds_what_it_was_given_and_names_tools_that_there_are() -> None:
    """MCP-01"""
    for job in JOBS.values():
        text = words_of(job.name, **dict.fromkeys(job.arguments, "{run_id} {}"))
        assert text.count("{run_id} {}") == len(job.arguments)
        named = {word.strip("`.,") for word in text.split() if "_" in word}
        assert named & {*TOOLS, "run_command"}
    with pytest.raises(Refused, match="run_id: is required"):
        prompt_of("explain_run", {})
    with pytest.raises(NotFound, match="there are: run_and_report"):
        prompt_of("nonsense", {})


async def test_ids_kinds_and_artifacts_are_completed() -> None:
    """MCP-01"""
    prompt = PromptReference(name="explain_run")
    address = ResourceTemplateReference(uri="run://{run_id}/artifacts/{artifact_id}")
    async with open_fake_core(kind("story", story)) as core:
        for run_id in ("tale-1", "tale-2", "other"):
            await core.submitter.submit(request("story", run_id=run_id))
            await wait_ended(core, run_id)
        found = await complete(core, prompt, "run_id", "tale", {})
        assert found == ["tale-2", "tale-1"]
        assert await complete(core, prompt, "kind", "st", {}) == ["story"]
        given = {"run_id": "other"}
        assert await complete(core, address, "artifact_id", "s", given) == ["story"]
        assert await complete(core, address, "artifact_id", "s", {}) == []
        assert await complete(core, prompt, "command", "ma", {}) == []
        with pytest.raises(NotFound):
            await complete(core, PromptReference(name="nonsense"), "kind", "", {})
        with pytest.raises(NotFound):
            await complete(core, ResourceTemplateReference(uri="x://y"), "kind", "", {})
