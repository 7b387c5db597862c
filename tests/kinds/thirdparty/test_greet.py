"""The test of docs/pipelines.md."""

from greet import KIND

from penstock.testing import open_test_core


async def test_somebody_is_greeted(autojump_clock):
    async with open_test_core([KIND]) as core:
        ended = await core.run("greet", {"name": "you"})
        facts = await core.facts(ended.run_id)
    assert ended.result == {"text": "Hello, you"}
    assert "milestone" in [fact.type for fact in facts]
