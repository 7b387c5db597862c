"""Bugs that were made or could be made, as small patches, and the story that finds each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """In `file` of the package `old` becomes `new`; `scenario` with `fault` must find it."""

    name: str
    file: str
    old: str
    new: str
    scenario: str
    fault: str


@dataclass(frozen=True)
class TestedMutant:
    """As `Mutant`, in what no story plays: the `test` of ours must find it."""

    #: Not a class of tests, whatever it is called.
    __test__ = False

    name: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = (
    Mutant(
        "the writer hears a cancel of the daemon",
        "log/recorder.py",
        "writing = trio.CancelScope(shield=True)",
        "writing = trio.CancelScope()",
        "stop",
        "none",
    ),
    Mutant(
        "except Cancelled instead of finally",
        "runs/execution.py",
        "        conclude_with(_conclusion(execution, error, execution.gone_at))",
        "        if not isinstance(__import__('sys').exc_info()[1], BaseExceptionGroup):\n"
        "            conclude_with(_conclusion(execution, error, execution.gone_at))",
        "nested",
        "stop the daemon",
    ),
    Mutant(
        "except Exception instead of split",
        "runs/execution.py",
        "        return raised.split((Exception, SystemExit))",
        "        return None, raised",
        "nested",
        "stop the daemon",
    ),
    Mutant(
        "conclude through the waiting path",
        "runs/execution.py",
        "        conclude_with(_conclusion(execution, error, execution.gone_at))",
        "        await trio.lowlevel.checkpoint()\n"
        "        conclude_with(_conclusion(execution, error, execution.gone_at))",
        "nested",
        "stop the daemon",
    ),
    Mutant(
        "answers before the commit",
        "log/sqlite/store.py",
        '            self._db.execute("BEGIN IMMEDIATE")\n            transaction.begin(event_ids(batch))\n            results = [handle(transaction, write) for write in batch]\n            if not batch:\n                # Only what writes finds out whether the store takes writes.\n                transaction.set_meta("head", transaction.next_position - 1)\n            transaction.finish()\n            tried = True\n            self._db.execute("COMMIT")\n',
        '            if self._db.in_transaction:\n                self._db.execute("COMMIT")\n            self._db.execute("BEGIN IMMEDIATE")\n            transaction.begin(event_ids(batch))\n            results = [handle(transaction, write) for write in batch]\n            if not batch:\n                # Only what writes finds out whether the store takes writes.\n                transaction.set_meta("head", transaction.next_position - 1)\n            transaction.finish()\n',
        "nested",
        "kill the daemon",
    ),
    Mutant(
        "wake-up before the fold",
        "log/recorder.py",
        "        self._settle(entries, claim, results)\n        self._wake(entries)\n",
        "        for entry, result in zip(entries, results, strict=False):\n"
        "            entry.result = result\n"
        "        self._wake(entries)\n"
        "        await trio.lowlevel.checkpoint()\n"
        "        self._settle(entries, claim, results)\n",
        "asks",
        "none",
    ),
    Mutant(
        "a checkpoint between outcomes and views",
        "runs/table.py",
        "            view.apply(fact)\n            if fact.type not in _MOVES:\n",
        "            if not fact.type.startswith('ask.'):\n"
        "                view.apply(fact)\n            if fact.type not in _MOVES:\n",
        "asks",
        "none",
    ),
    Mutant(
        "a slot too many",
        "log/sqlite/handle_claim.py",
        "    free = d.slots - len(groups)\n",
        "    free = d.slots - len(groups) + 1\n",
        "nested",
        "none",
    ),
    Mutant(
        "an end frees a slot for queued runs only",
        "runs/table.py",
        "bool(self.queue.queued or self.unparking)",
        "bool(self.queue.queued)",
        "asks",
        "none",
    ),
    Mutant(
        "the first task that goes on takes the slot for all",
        "runs/execution.py",
        "if not self.parked or self._waiting:",
        "if not self.parked:",
        "narrow tree",
        "none",
    ),
    Mutant(
        "waiting for the slot with an old event",
        "runs/execution.py",
        "            await self.recorder.record(Unpark(self.execution.fence))\n",
        "            await self.recorder.record(Unpark(self.execution.fence))\n"
        "            self.execution.unparked = trio.Event()\n",
        "tree",
        "none",
    ),
    Mutant(
        "lost wake-up in the bus",
        "log/bus.py",
        "        lot = self._lots.get(run_id)\n        if lot is None:\n",
        "        await trio.sleep(0.01)\n        lot = self._lots.get(run_id)\n        if lot is None:\n",
        "tree",
        "none",
    ),
    Mutant(
        "a reader that leaves stays in the table",
        "log/bus.py",
        "            self._subscriptions.discard(subscription)\n",
        "            pass\n",
        "readers",
        "none",
    ),
    Mutant(
        "the last text is not shielded",
        "runs/artifact.py",
        "trio.move_on_after(LAST_FLUSH_SECONDS, shield=True)",
        "trio.move_on_after(LAST_FLUSH_SECONDS)",
        "artifacts",
        "cancel a run",
    ),
    Mutant(
        "text is taken off before it is recorded",
        "runs/artifact.py",
        "            event_id, piece = self._on_the_way[0]\n"
        "            if await self.emit(piece, event_id=event_id) is None:\n"
        "                # Dropped in an outage of the store: it goes again with the next text, or at the end.\n"
        "                return\n"
        "            self._on_the_way.popleft()\n",
        "            event_id, piece = self._on_the_way.popleft()\n"
        "            await self.emit(piece, event_id=event_id)\n",
        "artifacts",
        "cancel a run",
    ),
    Mutant(
        "a conclusion gives up on the store",
        "log/outage.py",
        "    if not entry.ordinary:\n        return False\n    if isinstance(entry.write, Enqueue)",
        "    if isinstance(entry.write, Enqueue)",
        "nested",
        "store fails for long",
    ),
    Mutant(
        "who gave up on the store is not woken",
        "log/recorder.py",
        "        self._wake(given_up)\n",
        "",
        "processes",
        "store fails for long",
    ),
    Mutant(
        "a lost answer is asked for again",
        "log/outage.py",
        "        if head > self.head():\n",
        "        if head < 0:\n",
        "full recorder",
        "store's answer is lost",
    ),
    Mutant(
        "a retried batch is forgotten",
        "log/recorder.py",
        "            entries += self._take(",
        "            entries = self._take(",
        "nested",
        "store fails once",
    ),
    Mutant(
        "a claim on its way is not stopped",
        "runs/table.py",
        "            if self.stopping:\n                execution.stop()\n",
        "",
        "slow stop",
        "none",
    ),
    Mutant(
        "children refused during a stop",
        "runs/submit.py",
        "if self.stop.reason is not None and not child:",
        "if self.stop.reason is not None:",
        "tree",
        "stop the daemon",
    ),
    Mutant(
        "repair leaves the processes",
        "runs/repair.py",
        "    done.ended_pids.extend(await end_orphans(every, list(started)))\n",
        "",
        "repair",
        "none",
    ),
    Mutant(
        "repair under the new owner's fence",
        "runs/repair.py",
        "row.life is None or row.life == life:",
        "row.life is None or row.life != life:",
        "repair",
        "none",
    ),
    Mutant(
        "a ticket lost with its submitter",
        "runs/submit.py",
        "        finally:\n            self._entering -= 1\n",
        "        except Exception:\n            self._entering -= 1\n            raise\n"
        "        else:\n            self._entering -= 1\n",
        "admission",
        "cut off the submitter",
    ),
    Mutant(
        "an expiry that wants to be first",
        "runs/run.py",
        "        with suppress(AlreadyAnswered):\n",
        "        with suppress():\n",
        "slow cancel",
        "none",
    ),
    Mutant(
        "a receipt forgets what is below",
        "runs/control.py",
        "            for run in tree\n",
        "            for run in tree[:1]\n",
        "felled tree",
        "none",
    ),
    Mutant(
        "ended runs stay in memory",
        "runs/table.py",
        "                del self.views[fact.run_id]\n",
        "                pass\n",
        "nested",
        "none",
    ),
    Mutant(
        "an end on its way beats a recorded cancel",
        "log/sqlite/handle_end.py",
        '    if head.cancel_requested is not None and new_event.type != "run.cancelled":\n',
        '    if head.cancel_requested == "" and new_event.type != "run.cancelled":\n',
        "slow cancel",
        "none",
    ),
    Mutant(
        "a cancel from outside is nobody's word",
        "runs/execution.py",
        "            execution.stopping = execution.stopping or execution.row.on_restart\n",
        "",
        "readers",
        "stop the daemon",
    ),
    Mutant(
        "dependants of a failed run go on",
        "log/sqlite/handle_end.py",
        "        if head.state == COMPLETED:\n",
        "        if head.ended:\n",
        "dependencies",
        "none",
    ),
    Mutant(
        "an artifact is whole without its dropped pieces",
        "runs/artifact.py",
        "            if await self.emit(piece, event_id=event_id) is None:\n",
        "            if await self.emit(piece, event_id=event_id) is self:\n",
        "artifacts",
        "store fails for long",
    ),
    Mutant(
        "nobody is asked to give way",
        "runs/preemptor.py",
        "        if not (self.table.claiming and self.table.moved):\n",
        "        if self.table.claiming or not self.table.moved:\n",
        "preemption",
        "none",
    ),
    Mutant(
        "a task that gives up its question leaves the slot where it is",
        "runs/execution.py",
        "            self.slot_nursery.start_soon(self._bring_back, back)\n        await back.wait()\n",
        "        self.slot_nursery.start_soon(self._bring_back, back)\n        await back.wait()\n",
        "doubts",
        "none",
    ),
)

TESTED_MUTANTS = (
    TestedMutant(
        "the last word to stop counts",
        "runs/stop.py",
        "        if self.reason is None:\n",
        "        if True:\n",
        "runs/test_stop.py::test_the_first_word_to_stop_is_what_everybody_says",
    ),
    TestedMutant(
        "a conclusion overtakes what was sent before it",
        "log/recorder.py",
        "self._reserved[0][0] <= self._received",
        "self._reserved[0][0] >= 0",
        "log/test_recorder.py"
        "::test_a_conclusion_follows_what_was_queued_and_closes_the_door",
    ),
    TestedMutant(
        "who waits for room speaks after the end",
        "log/recorder.py",
        "            if fence == write.fence:\n",
        "            if fence is None:\n",
        "guarantees/test_recorder_room.py",
    ),
    TestedMutant(
        "who waited for room wakes nobody",
        "log/recorder.py",
        "            await self._send_when_room(entry)\n        self._work.set()\n",
        "            await self._send_when_room(entry)\n"
        "        else:\n"
        "            self._work.set()\n",
        "log/test_recorder.py"
        "::test_a_full_recorder_makes_pipelines_wait_and_drops_nothing",
    ),
    TestedMutant(
        "an outage makes a batch of any size",
        "log/recorder.py",
        "self._take(self.capacity - sum(e.ordinary for e in entries))",
        "self._take(self.capacity)",
        "log/test_recorder.py"
        "::test_an_outage_holds_no_more_than_a_batch_and_a_full_channel",
    ),
    TestedMutant(
        "the mark is ahead of the log",
        "log/high_water.py",
        "self.store.epoch, fact.position, str(fact.event_id)",
        "self.store.epoch, fact.position + 1, str(fact.event_id)",
        "log/test_high_water.py::test_the_mark_follows_what_was_published_and_is_never_ahead",
    ),
    TestedMutant(
        "the mark is moved before the commit is published",
        "log/high_water.py",
        "            newest = bus.newest\n",
        "            [newest] = (await self.store.read_all())[-1:]\n",
        "log/test_high_water.py::test_the_mark_follows_what_was_published_and_is_never_ahead",
    ),
    TestedMutant(
        "a log that was put back keeps its epoch",
        "log/high_water.py",
        "            await self.store.renew_epoch()\n",
        "",
        "log/test_high_water.py::test_an_older_copy_gets_a_new_epoch_and_keeps_its_id",
    ),
    TestedMutant(
        "only the head of a log that was put back is looked at",
        "log/high_water.py",
        "    if found is not None and str(found) != mark.event_id:\n",
        "    if found is None and mark.position == 0:\n",
        "log/test_high_water.py"
        "::test_a_log_that_lost_its_newest_commits_and_went_on_is_noticed",
    ),
    TestedMutant(
        "what went into a removed file is acknowledged",
        "log/sqlite/store.py",
        "        self._check_files()\n        return results\n",
        "        return results\n",
        "log/test_files.py::test_nothing_is_acknowledged_once_a_file_of_the_log_is_gone",
    ),
    TestedMutant(
        "an idle daemon does not look at its files",
        "log/watching.py",
        "            await store.check_files()\n",
        "            pass\n",
        "log/test_files.py"
        "::test_an_idle_log_notices_too_and_ends_whatever_stands_on_it[p.db]",
    ),
    TestedMutant(
        "the lock is on the lock file alone",
        "log/sqlite/database.py",
        "        if alone:\n",
        "        if alone and not readers:\n",
        "log/test_files.py"
        "::test_two_daemons_never_open_one_log_whatever_became_of_the_lock_file",
    ),
    TestedMutant(
        "the locks of SQLite are let go of",
        "log/sqlite/database.py",
        "    return connections\n",
        "    os.close(os.open(path, os.O_RDONLY))\n    return connections\n",
        "log/test_files.py::test_the_lock_leaves_the_locks_of_sqlite_alone",
    ),
    TestedMutant(
        "a place beyond the log waits for ever",
        "log/bus.py",
        "self._unchecked = cursor > bus.head or (cursor > 0 and after_id is not None)",
        "self._unchecked = cursor > 0 and after_id is not None",
        "log/test_bus.py"
        "::test_a_cursor_above_the_head_is_told_and_goes_on_from_the_head",
    ),
    TestedMutant(
        "a place is a position and nothing else",
        "log/bus.py",
        "        same = not facts or after_id in (None, facts[0].event_id)\n",
        "        same = not facts or after_id is not self\n",
        "log/test_bus.py::test_a_place_that_holds_another_fact_is_told_and_read_again",
    ),
    TestedMutant(
        "inputs are shown with their secrets",
        "log/redaction.py",
        "shown, labels = _clean(spec.shown, wanted), _clean(spec.labels, wanted)",
        "shown, labels = spec.shown, _clean(spec.labels, wanted)",
        "log/test_redaction.py::test_inputs_are_shown_redacted_and_kept_whole",
    ),
    TestedMutant(
        "labels keep their secrets",
        "log/redaction.py",
        "shown, labels = _clean(spec.shown, wanted), _clean(spec.labels, wanted)",
        "shown, labels = _clean(spec.shown, wanted), spec.labels",
        "log/test_redaction.py::test_what_people_say_is_redacted",
    ),
    TestedMutant(
        "answers keep their secrets",
        "log/redaction.py",
        "return replace(write, answer=_clean(text, wanted))",
        "return write",
        "log/test_redaction.py::test_what_people_say_is_redacted",
    ),
    TestedMutant(
        "the reasons of cancels and pauses keep their secrets",
        "log/redaction.py",
        "return replace(write, reason=_clean(text, wanted))",
        "return write",
        "log/test_redaction.py::test_what_people_say_is_redacted",
    ),
    TestedMutant(
        "facts keep their secrets",
        "log/redaction.py",
        "            new_events = tuple(\n                _redacted_event(new_event, wanted) for new_event in before\n            )\n",
        "            new_events = before\n",
        "log/test_redaction.py::test_what_people_say_is_redacted",
    ),
    TestedMutant(
        "a reader that missed many is told of one",
        "log/bus.py",
        "self.drops += missed",
        "self.drops += 1",
        "log/test_bus.py::test_a_slow_reader_gets_what_its_policy_says",
    ),
    TestedMutant(
        "a client is written to while it is full",
        "server/stream_writer.py",
        "                if chunk and not write(chunk):\n                    return False\n",
        "                if chunk:\n                    write(chunk)\n",
        "server/test_stream_writer.py"
        "::test_a_client_that_is_full_is_not_written_to_and_misses_nothing",
    ),
    TestedMutant(
        "a stop takes no last look",
        "server/stream_writer.py",
        'self._encode(batch) if batch else b"")',
        'b"")',
        "server/test_stream_writer.py::test_every_form_says_the_same_of_a_stop",
    ),
    TestedMutant(
        "a child does not inherit its priority",
        "runs/run.py",
        "            priority=self.priority if priority is None else priority,\n",
        "            priority=Priority.MEDIUM,\n",
        "runs/test_run.py::test_a_child_is_as_important_as_its_parent",
    ),
    TestedMutant(
        "a reader takes what comes again",
        "client/log_reader.py",
        '            if fact["position"] <= self.position:\n                continue\n',
        "",
        "client/test_log_reader.py::test_what_comes_again_after_a_loss_is_told_once",
    ),
    TestedMutant(
        "a reader goes on in the middle of another log",
        "client/log_reader.py",
        '        if known in ("", greeting.epoch):',
        "        if True:",
        "client/test_log_reader.py::test_another_log_is_read_from_its_beginning_on_a_new_connection",
    ),
    TestedMutant(
        "a caller is not told that its place is of another log",
        "client/log_reader.py",
        "        if self.cursor.given:",
        "        if False:",
        "client/test_log_reader.py::test_a_place_of_the_callers_that_the_log_does_not_hold_is_its_problem",
    ),
)
