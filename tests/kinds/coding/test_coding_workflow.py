"""The coding workflow on real tasks: scripted answers over HTTP, tests that really run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.coding import (
    CALC,
    CHOOSE,
    CLI,
    CLI_PLAN,
    CLI_TESTS,
    CORRECT,
    COUNT,
    PLAN,
    REVIEW,
    SLUG,
    SLUG_PLAN,
    SLUG_TESTS,
    WRITE,
    WRONG_CALC,
    WRONG_CLI,
    Place,
    artifact_of,
    calc_script,
    cli_script,
    coding,
    git,
    history,
    make_repository,
    once,
    open_coding,
    plan,
    slug_script,
    story,
    wait_fact,
)
from fakes.living import living
from fakes.model_server import ModelServer
from fakes.texts import common_beginning
from penstock.llm.prompts import BY_TYPE
from penstock.runs.core import Core
from penstock.words.api import BugReportRequest
from penstock.words.recorded import Recorded

pytestmark = pytest.mark.processes

WRONG_SLUG = SLUG.replace('"-".join', '"_".join')


def versions(facts: Sequence[Recorded]) -> list[int]:
    """The numbers of the code, in the order in which it was made."""
    made = ("code.generated", "correction.completed")
    return [fact.code_version for fact in facts if fact.type in made]


def body(facts: Sequence[Recorded], type_: str, which: int = -1) -> Any:
    """A fact of this type, parsed; the last one."""
    return [fact.event for fact in facts if fact.type == type_][which]


async def do(core: Core, prompt: str = "Do it.", **inputs: Any) -> list[Recorded]:
    await core.submitter.submit(coding(prompt, **inputs))
    return await history(core)


async def test_a_pure_function_is_written_with_no_surface_attached(
    where: Place, model_server: ModelServer, tmp_path: Path
) -> None:
    """WF-01, WF-02: a core in memory and nobody who looks."""
    model_server.script(*slug_script())
    async with open_coding(where, memory=True) as core:
        facts = await do(core, "Write slugs.\n\x01 Übung", out=str(tmp_path / "out"))
        assert await core.store.read("task") == facts
    assert story(facts) == [
        "run.queued", "run.started", "plan.completed", "module.started", "module.iterated",
        "code.generated", "test.started", "test.passed", "analysis.completed", "run.completed",
    ]  # fmt: skip
    assert [fact.sequence for fact in facts] == list(range(1, len(facts) + 1))
    assert "Ran 2 tests" in body(facts, "test.passed").summary
    assert artifact_of(facts, "v1/slug.py") == SLUG.strip()
    assert len(model_server.log()) == 2
    assert (tmp_path / "out" / "slug.py").read_text() == SLUG


async def test_a_wrong_first_attempt_is_corrected(
    where: Place, model_server: ModelServer, tmp_path: Path
) -> None:
    """WF-02, WF-03: what is needed comes first, versions are dense, and the patch is the result."""
    model_server.script(*cli_script())
    async with open_coding(where) as core:
        facts = await do(core, "Write a command that counts words.")
    assert story(facts) == [
        "run.queued", "run.started", "plan.completed",
        "module.started", "module.iterated", "code.generated",
        "module.started", "module.iterated", "code.generated",
        "test.started", "test.failed",
        "correction.started", "module.iterated", "correction.completed",
        "test.started", "test.passed", "analysis.completed", "run.completed",
    ]  # fmt: skip
    assert versions(facts) == [1, 2, 3]
    numbers = [fact.code_version for fact in facts]
    assert numbers == sorted(numbers)
    started = [f.event.module for f in facts if f.type == "module.started"]  # type: ignore[union-attr]
    assert started == ["count", "cli"]
    assert body(facts, "module.iterated").iteration == 2
    result = body(facts, "run.completed").result
    assert result["code_hash"] == body(facts, "correction.completed").code_hash
    assert result["corrections"] == 1
    # Nothing of it stays but the log, and the patch makes the files anew.
    assert not (where.folder / "runs" / "task").exists()
    made = tmp_path / "made"
    made.mkdir()
    git(made, "apply", "-", stdin=artifact_of(facts, "changes.patch"))
    assert (made / "cli.py").read_text() == CLI
    assert (made / "count.py").read_text() == COUNT
    asked = model_server.log()[-1]["messages"][-1]["content"]
    assert "AssertionError" in asked
    assert WRONG_CLI in asked


async def test_a_bug_in_a_repository_is_mended_on_a_branch(
    where: Place, model_server: ModelServer, tmp_path: Path
) -> None:
    """WF-02: the repository itself is only read, until the result becomes a branch of it."""
    repository = make_repository(tmp_path / "calc")
    before = sorted(path for path in repository.rglob("*") if ".git" not in path.parts)
    for name in ("post-checkout", "post-commit", "reference-transaction"):
        hook = repository / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        hook.chmod(0o755)
    model_server.script(*calc_script())
    async with open_coding(where) as core:
        facts = await do(
            core, "Mend it.", repository=str(repository), branch="penstock/mended"
        )
    result = body(facts, "run.completed").result
    assert result["branch"] == "penstock/mended"
    # Its tests use it, though the run did not write them.
    assert result["findings"] == 0
    assert "test.failed" not in story(facts)
    assert git(repository, "show", "penstock/mended:calc.py") == CALC
    assert (repository / "calc.py").read_text() == WRONG_CALC
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "worktree", "list").count("\n") == 1
    after = sorted(path for path in repository.rglob("*") if ".git" not in path.parts)
    assert after == before
    assert not (tmp_path / "ran").exists()
    # The model was told what fails, and what stands there.
    planned, written = (r["messages"][-1]["content"] for r in model_server.log())
    assert "FAIL: test_three" in planned
    assert WRONG_CALC in written
    git(repository, "apply", "--check", "-", stdin=artifact_of(facts, "changes.patch"))


async def test_every_request_has_the_layers(
    where: Place, model_server: ModelServer
) -> None:
    """CX-11: the prompt of the event at hand, the state, and the events, in every request."""
    model_server.script(*cli_script())
    async with open_coding(where) as core:
        await do(core)
    log = model_server.log()
    for record, type_ in zip(
        log,
        ("run.started", "module.started", "module.started", "test.failed"),
        strict=True,
    ):
        system, user = record["messages"]
        assert system["content"].startswith(BY_TYPE[type_])
        assert "State of the run:\nstatus: running" in user["content"]
        # The request, and what tests said, is the question itself, and is not said twice.
        shown = f"Current event:\n{type_}" in user["content"]
        assert shown == (type_ == "module.started")
        assert user["content"].count("Do it.") == 1
        # Whole files stand in the question, not in the events.
        assert "step.completed" not in user["content"]
        assert record["options"]["num_ctx"] >= record["sent"]
    # What does not change stands first, so that the server reads it once.
    one, two = ("\n".join(m["content"] for m in r["messages"]) for r in log[1:3])
    alike = common_beginning(one, two)
    assert "Task:\nDo it." in alike
    assert "Plan:\nIt is small." in alike
    assert "_hash" not in two


BAD_PLANS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "cycle": (
        [CLI_PLAN[0], {**CLI_PLAN[1], "needs": ["cli"]}],
        "they need each other",
    ),
    "twice": ([SLUG_PLAN[0], SLUG_PLAN[0]], "two are named 'slug'"),
    "outside": ([{**SLUG_PLAN[0], "path": "../slug.py"}], "part that is not allowed"),
    "absolute": ([{**SLUG_PLAN[0], "path": "/etc/slug.py"}], "not the relative path"),
    "git's own": ([{**SLUG_PLAN[0], "path": ".git/hooks/x"}], "not the task's"),
    "malformed": ([{"name": "slug"}], "path"),
    "empty": ([], "there are none"),
}


@pytest.mark.parametrize("name", BAD_PLANS)
async def test_a_plan_that_cannot_be_worked_off_fails_the_run_after_three_tries(
    where: Place, model_server: ModelServer, name: str
) -> None:
    """WF-05, DS-05: the model is asked again with the reason, and the last reason is the error."""
    modules, why = BAD_PLANS[name]
    model_server.script({"match": PLAN, "fields": plan(modules)})
    async with open_coding(where, memory=True) as core:
        facts = await do(core)
    assert facts[-1].type == "run.failed"
    assert why in facts[-1].event.error  # type: ignore[union-attr]
    log = model_server.log()
    assert len(log) == 3
    assert why in log[-1]["messages"][-1]["content"]


async def test_a_second_plan_that_can_be_worked_off_is_taken(
    where: Place, model_server: ModelServer
) -> None:
    """WF-05"""
    model_server.script(once(PLAN, **plan(BAD_PLANS["cycle"][0])), *slug_script())
    async with open_coding(where, memory=True) as core:
        facts = await do(core)
    assert facts[-1].type == "run.completed"


async def test_tests_that_hang_are_ended_with_their_children(
    where: Place, model_server: ModelServer, tmp_path: Path
) -> None:
    """WF-06: with every slot taken, a timeout is a failed test and nobody of the tree is left."""
    pids = tmp_path / "pids"
    hangs = (
        f"import os, subprocess, time\np = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}} {{p.pid}} ')\n"
        "print('before it hangs', flush=True)\ntime.sleep(600)\n"
    )
    names = [f"task-{number}" for number in range(3)]
    for rule in (
        once(PLAN, **plan(SLUG_PLAN)),
        once(WRITE, code=SLUG, tests=hangs),
        once(CORRECT, module="slug", code="unchanged", tests=SLUG_TESTS),
    ):
        model_server.script({**rule, "times": len(names)})
    async with open_coding(where, max_concurrent=len(names)) as core:
        for name in names:
            # Not less: the interpreters start at once, and they must get as far as to hang.
            await core.submitter.submit(coding(run_id=name, test_timeout=3.0))
        for name in names:
            facts = await history(core, name)
            assert body(facts, "test.failed", 0).reason == "timeout after 3 s"
            assert "before it hangs" in body(facts, "test.failed", 0).summary
            assert facts[-1].type == "run.completed"
    found = pids.read_text().split()
    assert len(found) == 2 * len(names)
    assert living(map(int, found)) == {}


async def test_a_program_for_the_tests_that_is_not_there_fails_the_run(
    where: Place, model_server: ModelServer
) -> None:
    """ER: no model can mend that."""
    model_server.script(*slug_script())
    async with open_coding(where) as core:
        facts = await do(core, tests=["/no/such/program"])
    assert "'/no/such/program' cannot be executed" in facts[-1].event.error  # type: ignore[union-attr]


async def test_corrections_are_bounded(where: Place, model_server: ModelServer) -> None:
    """WF-11, WF-03: over the limit the run fails and says so."""
    model_server.script(
        once(PLAN, **plan(SLUG_PLAN)),
        once(WRITE, code=WRONG_SLUG, tests=SLUG_TESTS),
        once(CORRECT, module="slug", code=WRONG_SLUG + "\n# 1\n", tests="unchanged"),
        once(CORRECT, module="slug", code=WRONG_SLUG + "\n# 2\n", tests="unchanged"),
    )
    async with open_coding(where) as core:
        facts = await do(core, max_rounds=2)
    assert versions(facts) == [1, 2, 3]
    assert facts[-1].type == "run.failed"
    assert "after 2 corrections this remains" in facts[-1].event.error  # type: ignore[union-attr]
    assert story(facts).count("test.failed") == 3


async def test_a_correction_that_changes_nothing_is_asked_for_again(
    where: Place, model_server: ModelServer
) -> None:
    """DS-05: a bug that was reported is in the code."""
    model_server.script(
        once(PLAN, **plan(SLUG_PLAN)),
        once(WRITE, code=SLUG, tests=SLUG_TESTS),
        once(CORRECT, module="slug", code="unchanged", tests="unchanged"),
        once(CORRECT, module="slug", code=SLUG + "\n# é\n", tests="unchanged"),
    )
    slow = ["sh", "-c", "sleep 1; python3 -m unittest discover"]
    async with open_coding(where) as core:
        await core.submitter.submit(coding(tests=slow))
        await wait_fact(core, "test.started")
        code_hash = (await core.reader.view("task")).code_hash
        report = BugReportRequest(text="é is lost", version=1, code_hash=code_hash)
        await core.control.report_bug("task", report)
        facts = await history(core)
    assert facts[-1].type == "run.completed"
    assert versions(facts) == [1, 2]
    assert "nothing was changed" in model_server.log()[-1]["messages"][-1]["content"]


async def test_a_valid_bug_report_leads_to_a_correction_and_others_change_nothing(
    where: Place, model_server: ModelServer
) -> None:
    """WF-08, OR-02, OR-05: each reporter is told the verdict; only one report counts."""
    model_server.script(
        once(PLAN, **plan(SLUG_PLAN)),
        once(WRITE, code=SLUG, tests=SLUG_TESTS),
        once(CORRECT, module="slug", code=SLUG + "\n# é\n", tests="unchanged"),
    )
    slow = ["sh", "-c", "sleep 1; python3 -m unittest discover"]
    verdicts = []
    async with open_coding(where) as core:
        await core.submitter.submit(coding(tests=slow))
        await wait_fact(core, "test.started")
        view = await core.reader.view("task")
        for version, code_hash, text in (
            (0, None, "about nothing"),
            (7, None, "about the future"),
            (1, "0" * 64, "about other code"),
            (1, view.code_hash, "é is lost"),
        ):
            report = BugReportRequest(text=text, version=version, code_hash=code_hash)
            _, judged = await core.control.report_bug("task", report)
            verdicts.append(judged.verdict)
        facts = await history(core)
    assert verdicts == ["stale", "invalid", "stale", "valid"]
    assert versions(facts) == [1, 2]
    assert story(facts).count("correction.started") == 1
    asked = model_server.log()[-1]["messages"][-1]["content"]
    problem = asked.split("Problem:\n")[1].split("Module:\n")[0]
    assert problem.strip() == "A bug was reported:\né is lost"


async def test_a_reviewer_reports_bugs_about_what_it_has_seen(
    where: Place, model_server: ModelServer
) -> None:
    """WF-08, OR-02: what it finds counts while the code is the same, and is stale after a correction."""
    model_server.script(
        *slug_script(),
        once(REVIEW, findings='["é is lost"]'),
        once(CORRECT, module="slug", code=SLUG + "\n# é\n", tests="unchanged"),
    )
    async with open_coding(where) as core:
        facts = await do(core, review=True)
    assert body(facts, "bug.reported").verdict == "valid"
    assert versions(facts) == [1, 2]

    model_server.reset()
    late = {**once(REVIEW, findings='["the last word is wrong"]'), "delay": 0.1}
    model_server.script(late, *cli_script())
    async with open_coding(where) as core:
        await core.submitter.submit(coding(run_id="second", review=True))
        facts = await history(core, "second")
    assert body(facts, "bug.reported").verdict == "stale"
    assert versions(facts) == [1, 2, 3]


async def test_questions_take_the_request_s_answers_first_and_then_ask(
    where: Place, model_server: ModelServer
) -> None:
    """WF-09, API-02: answers are consumed in order; a person gives the rest, or nobody does."""
    questions = ("Which case?", "Which joiner?", "Any limit?", "Any more?")
    model_server.script(once(PLAN, **plan(SLUG_PLAN, *questions)), *slug_script())
    async with open_coding(where) as core:
        await core.submitter.submit(
            coding(answers=["Lower.", "Dashes."], answer_within=2.0)
        )
        await wait_fact(core, "ask.raised", count=3)
        await core.control.answer("task", "question 3", "None.", "ann")
        facts = await history(core)
    answered = [f.event for f in facts if f.type == "ask.answered"]
    assert [(a.answer, a.by) for a in answered] == [  # type: ignore[union-attr]
        ("Lower.", "request"),
        ("Dashes.", "request"),
        ("None.", "ann"),
        ("Decide yourself.", "default"),
    ]
    log = model_server.log()
    assert len(log) == 3
    told = "Which case?\nLower.\nWhich joiner?\nDashes.\nAny limit?\nNone."
    for record in log[1:]:
        assert told in record["messages"][-1]["content"]


async def test_clients_drop_the_text_of_an_answer_that_cannot_be_used(
    where: Place, model_server: ModelServer
) -> None:
    """DS-05: the partials of the next answer have a higher attempt, and only that one is completed."""
    broken = once(WRITE, code="never used", tests="")
    first, second = slug_script()
    model_server.script(first, broken, second)
    async with open_coding(where) as core:
        facts = await do(core)
    events = [f.event for f in facts if f.type.startswith("artifact.")]
    code = [e for e in events if e.artifact_id == "v1/slug.py"]  # type: ignore[union-attr]
    assert {e.attempt for e in code} == {1, 2}  # type: ignore[union-attr]
    completed = [e.attempt for e in code if e.type == "artifact.completed"]  # type: ignore[union-attr]
    assert completed == [2]
    assert artifact_of(facts, "v1/slug.py") == SLUG.strip()


async def test_a_person_s_word_is_taken_at_the_next_step(
    where: Place, model_server: ModelServer
) -> None:
    """WF-09: before everything else, even when the tests pass."""
    model_server.script(
        *slug_script(),
        once(CORRECT, module="slug", code=SLUG + "\n# short\n", tests="unchanged"),
    )
    async with open_coding(where) as core:
        slow = ["sh", "-c", "sleep 1; python3 -m unittest discover"]
        await core.submitter.submit(coding(tests=slow))
        await wait_fact(core, "test.started")
        await core.control.intervene("task", "At most 20 characters.")
        facts = await history(core)
    assert versions(facts) == [1, 2]
    assert (
        body(facts, "correction.started").cause
        == "intervention: At most 20 characters."
    )
    asked = model_server.log()[-1]["messages"][-1]["content"]
    assert "The user says:\nAt most 20 characters." in asked


async def test_a_link_in_a_repository_leads_nowhere(
    where: Place, model_server: ModelServer, tmp_path: Path
) -> None:
    """WF: nothing outside the workspace is written."""
    repository = make_repository(tmp_path / "calc")
    outside = tmp_path / "outside"
    outside.mkdir()
    (repository / "lib").symlink_to(outside)
    git(repository, "add", ".")
    git(
        repository, "-c", "user.name=T", "-c", "user.email=t@l", "commit", "-qm", "Link"
    )
    model_server.script(
        once(PLAN, **plan([{**SLUG_PLAN[0], "path": "lib/slug.py", "tests": ""}])),
        once(WRITE, code=SLUG),
    )
    async with open_coding(where) as core:
        facts = await do(core, repository=str(repository))
    assert "links are not followed" in facts[-1].event.error  # type: ignore[union-attr]
    assert list(outside.iterdir()) == []


async def test_a_model_server_that_goes_away_fails_the_run_with_its_address(
    where: Place, model_server: ModelServer
) -> None:
    """ER-01"""
    gone = Place(where.folder, "http://127.0.0.1:1", where.kinds)
    async with open_coding(gone, memory=True) as core:
        facts = await do(core)
    assert facts[-1].type == "run.failed"
    assert "http://127.0.0.1:1" in facts[-1].event.error  # type: ignore[union-attr]


async def test_an_answer_that_breaks_off_fails_the_run_after_what_came(
    where: Place, model_server: ModelServer
) -> None:
    """DS-03, DS-04: what was heard is flushed and not completed; then the run fails."""
    model_server.script(
        once(PLAN, **plan(SLUG_PLAN)),
        {**once(WRITE, code=SLUG, tests=SLUG_TESTS), "drop": 20},
    )
    async with open_coding(where) as core:
        facts = await do(core)
    assert facts[-1].type == "run.failed"
    types = [fact.type for fact in facts]
    assert "artifact.partial" in types
    assert "artifact.completed" not in types
    assert artifact_of(facts, "v1/slug.py").startswith("import re")
    await trio.lowlevel.checkpoint()


async def test_a_model_chooses_the_module_that_a_word_does_not_name(
    where: Place, model_server: ModelServer
) -> None:
    """WF-09: a person's word may be about any of them; a choice that is none is asked for again."""
    first, count_written, _, _ = cli_script()
    model_server.script(
        first,
        count_written,
        once(WRITE, code=CLI, tests=CLI_TESTS),
        once(CHOOSE, path="ghost.py"),
        once(CHOOSE, path="cli.py"),
        once(CORRECT, code=CLI + "\n# short\n", tests="unchanged"),
    )
    async with open_coding(where) as core:
        slow = ["sh", "-c", "sleep 1; python3 -m unittest discover"]
        await core.submitter.submit(coding(tests=slow))
        await wait_fact(core, "test.started")
        await core.control.intervene("task", "Shorter.")
        facts = await history(core)
    assert facts[-1].type == "run.completed"
    assert body(facts, "correction.completed").module == "cli"
    asked = [r["messages"][-1]["content"] for r in model_server.log()]
    assert "'ghost.py' is not planned" in asked[4]
