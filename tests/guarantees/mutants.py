"""Bugs that were made or could be made, and the story or the test that finds each.

A bug is planted in a function, by what it says there and not by its exact text, so that a change of
form or of place does not lose it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """In the function `where` the statements `old` become `new`; `scenario` with `fault` finds it.

    `where` is a qualified name that the product has once, or `room/file:name`. An empty `new` leaves
    the statements out.
    """

    name: str
    where: str
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
    where: str
    old: str
    new: str
    test: str


MUTANTS = (
    Mutant(
        "the writer hears a cancel of the daemon",
        "open_recorder",
        "writing = trio.CancelScope(shield=True)",
        "writing = trio.CancelScope()",
        "stop",
        "none",
    ),
    Mutant(
        "except Cancelled instead of finally",
        "open_execution",
        "conclude_with(_conclusion(execution, error, execution.over_at))",
        """
            if not isinstance(__import__('sys').exc_info()[1], BaseExceptionGroup):
                conclude_with(_conclusion(execution, error, execution.over_at))
        """,
        "nested",
        "stop the daemon",
    ),
    Mutant(
        "except Exception instead of split",
        "split_failure",
        "return raised.split((Exception, SystemExit))",
        "return (None, raised)",
        "nested",
        "stop the daemon",
    ),
    Mutant(
        "conclude through the waiting path",
        "open_execution",
        "execution.over_at = now()",
        """
            execution.over_at = now()
            await trio.lowlevel.checkpoint()
        """,
        "nested",
        "stop the daemon",
    ),
    Mutant(
        "answers before the commit",
        "SqliteStore._commit",
        """
            transaction.begin(event_ids(batch))
            results = [handle(transaction, write) for write in batch]
            if not batch:
                transaction.set_meta('head', transaction.next_position - 1)
                self._try_room()
            transaction.finish()
            tried = True
            transaction.save()
        """,
        """
            if self._db.in_transaction:
                self._db.execute('COMMIT')
            transaction.begin(event_ids(batch))
            results = [handle(transaction, write) for write in batch]
            if not batch:
                transaction.set_meta('head', transaction.next_position - 1)
            transaction.finish()
        """,
        "nested",
        "kill the daemon",
    ),
    Mutant(
        "a piece of the beginning is emptied",
        "Window.add",
        "self.head_end = self.edge = position - 1",
        """
            self.head_end = position - 1
            self.edge = 0
        """,
        "rolling output",
        "none",
    ),
    Mutant(
        "a piece that leaves the window loses its size",
        "log/tables/output_window:_empty",
        "emptied = encode_event(Log(stream=piece.stream, bytes=size_of(piece), emptied=True))",
        "emptied = encode_event(Log(stream=piece.stream, bytes=0, emptied=True))",
        "rolling output",
        "none",
    ),
    Mutant(
        "wake-up before the fold",
        "Recorder._write_batch",
        """
            await self._settle(entries, claim, results)
            self._wake(entries)
        """,
        """
            for entry, result in zip(entries, results, strict=False):
                entry.result = result
            self._wake(entries)
            await trio.lowlevel.checkpoint()
            await self._settle(entries, claim, results)
        """,
        "asks",
        "none",
    ),
    Mutant(
        "a checkpoint between outcomes and views",
        "RunTable.fold",
        "view.apply(fact)",
        """
            if not fact.type.startswith('ask.'):
                view.apply(fact)
        """,
        "asks",
        "none",
    ),
    Mutant(
        "a slot too many",
        "log/tables/handle_claim:_choose",
        "free = d.slots - sum([head.life == d.life for head in holding])",
        "free = d.slots - sum([head.life == d.life for head in holding]) + 1",
        "nested",
        "none",
    ),
    Mutant(
        "an end frees a slot for queued runs only",
        "RunTable.claim",
        """
            wanted = bool(self.queue.queued or self.unparking) or any((isinstance(d, _BRINGS_WORK) for d in batch))
        """,
        """
            wanted = bool(self.queue.queued) or any((isinstance(d, _BRINGS_WORK) for d in batch))
        """,
        "asks",
        "none",
    ),
    Mutant(
        "the first task that goes on takes the slot for all",
        "Parking._unpark",
        """
            if not self.parked or self._waiting:
                return
        """,
        """
            if not self.parked:
                return
        """,
        "narrow tree",
        "none",
    ),
    Mutant(
        "waiting for the slot with an old event",
        "Parking._unpark",
        "await self.recorder.record(Unpark(self.execution.fence))",
        """
            await self.recorder.record(Unpark(self.execution.fence))
            self.execution.unparked = trio.Event()
        """,
        "tree",
        "none",
    ),
    Mutant(
        "lost wake-up in the bus",
        "Bus.wait_published",
        "'Wait until a fact of the run, or of any run for None, is published.'",
        """
            'Wait until a fact of the run, or of any run for None, is published.'
            await trio.sleep(0.01)
        """,
        "tree",
        "none",
    ),
    Mutant(
        "a reader that leaves stays in the table",
        "Bus.subscribe",
        "self._subscriptions.discard(subscription)",
        "pass",
        "readers",
        "none",
    ),
    Mutant(
        "the last text is not shielded",
        "open_artifact",
        """
            with trio.move_on_after(LAST_FLUSH_SECONDS, shield=True):
                await artifact.flush()
        """,
        """
            with trio.move_on_after(LAST_FLUSH_SECONDS):
                await artifact.flush()
        """,
        "artifacts",
        "cancel a run",
    ),
    Mutant(
        "text is taken off before it is recorded",
        "Artifact._send",
        """
            event_id, piece = self._on_the_way[0]
            if await self.emit(piece, event_id=event_id) is None:
                return
            self._on_the_way.popleft()
        """,
        """
            event_id, piece = self._on_the_way.popleft()
            await self.emit(piece, event_id=event_id)
        """,
        "artifacts",
        "cancel a run",
    ),
    Mutant(
        "a conclusion gives up on the store",
        "gives_up",
        """
            if not entry.ordinary:
                return False
        """,
        "",
        "nested",
        "store fails for long",
    ),
    Mutant(
        "who gave up on the store is not woken",
        "Recorder._wait_for_store",
        "self._wake(given_up)",
        "",
        "processes",
        "store fails for long",
    ),
    Mutant(
        "a lost answer is asked for again",
        "SqliteStore.recall",
        """
            if (await self.bounds()).head > head:
                raise StoreBroken('the store wrote facts and did not say so')
        """,
        """
            if (await self.bounds()).head < 0:
                raise StoreBroken('the store wrote facts and did not say so')
        """,
        "full recorder",
        "store's answer is lost",
    ),
    Mutant(
        "a retried batch is forgotten",
        "Recorder._write_batch",
        "entries += self._take(self.capacity - sum((e.ordinary for e in entries)))",
        "entries = self._take(self.capacity - sum((e.ordinary for e in entries)))",
        "nested",
        "store fails once",
    ),
    Mutant(
        "a claim on its way is not stopped",
        "RunTable._claimed",
        """
            if self.stopping:
                execution.stop()
        """,
        "",
        "slow stop",
        "none",
    ),
    Mutant(
        "children refused during a stop",
        "Submitter._check_open",
        """
            if self.stop.reason is not None and (not child):
                raise self.stop.refusal()
        """,
        """
            if self.stop.reason is not None:
                raise self.stop.refusal()
        """,
        "tree",
        "stop the daemon",
    ),
    Mutant(
        "repair leaves the processes",
        "repair",
        "if here: done.ended_pids.extend(await end_orphans(every, here))",
        "",
        "repair",
        "none",
    ),
    Mutant(
        "repair under the new owner's fence",
        "verdict_on",
        """
            if row.state not in EXECUTING_STATES or row.life is None or row.life == life:
                return 'leave'
        """,
        """
            if row.state not in EXECUTING_STATES or row.life is None or row.life != life:
                return 'leave'
        """,
        "repair",
        "none",
    ),
    Mutant(
        "a ticket lost with its submitter",
        "Admission.open_ticket",
        """
            try:
                await trio.lowlevel.checkpoint_if_cancelled()
                if self.stop.reason is not None:
                    raise self.stop.refusal()
                yield
            finally:
                self._entering -= 1
                self.let_in()
        """,
        """
            try:
                await trio.lowlevel.checkpoint_if_cancelled()
                if self.stop.reason is not None:
                    raise self.stop.refusal()
                yield
            except Exception:
                self._entering -= 1
                raise
            else:
                self._entering -= 1
                self.let_in()
        """,
        "admission",
        "cut off the submitter",
    ),
    Mutant(
        "an expiry that wants to be first",
        "Questions.answer",
        """
            with suppress(AlreadyAnswered):
                await self.recorder.record(answer)
        """,
        """
            with suppress():
                await self.recorder.record(answer)
        """,
        "slow cancel",
        "none",
    ),
    Mutant(
        "a receipt forgets what is below",
        "Control._ends",
        """
            ends = [end_of_row(run) if run.ended_at is not None else await self._end_elsewhere(run.run_id, wait, deadline) if run.run_id not in held and self.table.shared else await self._end_of(held.get(run.run_id), wait, deadline) for run in tree]
        """,
        """
            ends = [end_of_row(run) if run.ended_at is not None else await self._end_elsewhere(run.run_id, wait, deadline) if run.run_id not in held and self.table.shared else await self._end_of(held.get(run.run_id), wait, deadline) for run in tree[:1]]
        """,
        "felled tree",
        "none",
    ),
    Mutant(
        "ended runs stay in memory",
        "RunTable.fold",
        "del self.views[fact.run_id]",
        "pass",
        "nested",
        "none",
    ),
    Mutant(
        "an end on its way beats a recorded cancel",
        "log/tables/handle_end:complete",
        """
            if head.cancel_requested is not None and new_event.type != 'run.cancelled':
                new_event = _cancelled(head, write)
        """,
        """
            if head.cancel_requested == '' and new_event.type != 'run.cancelled':
                new_event = _cancelled(head, write)
        """,
        "slow cancel",
        "none",
    ),
    Mutant(
        "a cancel from outside is nobody's word",
        "open_execution",
        """
            try:
                with execution.scope, execution.limit:
                    yield execution
            except BaseException as raised:
                error, rest = split_failure(raised)
                if error is not None:
                    _log_failure(execution.row, error)
                if rest is not None:
                    execution.stopping = execution.stopping or execution.row.on_restart
                    raise rest from None
            finally:
                execution.over_at = now()
                conclude_with(_conclusion(execution, error, execution.over_at))
        """,
        """
            try:
                with execution.scope, execution.limit:
                    yield execution
            except BaseException as raised:
                error, rest = split_failure(raised)
                if error is not None:
                    _log_failure(execution.row, error)
                if rest is not None:
                    raise rest from None
            finally:
                execution.over_at = now()
                conclude_with(_conclusion(execution, error, execution.over_at))
        """,
        "readers",
        "stop the daemon",
    ),
    Mutant(
        "dependants of a failed run go on",
        "cascade_from",
        """
            if head.state == COMPLETED:
                _count_down(transaction, head)
                continue
        """,
        """
            if head.ended:
                _count_down(transaction, head)
                continue
        """,
        "dependencies",
        "none",
    ),
    Mutant(
        "an artifact is whole without its dropped pieces",
        "Artifact._send",
        """
            if await self.emit(piece, event_id=event_id) is None:
                return
        """,
        """
            if await self.emit(piece, event_id=event_id) is self:
                return
        """,
        "artifacts",
        "store fails for long",
    ),
    Mutant(
        "nobody is asked to give way",
        "Preemptor.look",
        """
            if not (self.table.claiming and self.table.moved):
                return
        """,
        """
            if self.table.claiming or not self.table.moved:
                return
        """,
        "preemption",
        "none",
    ),
    Mutant(
        "a task that gives up its question leaves the slot where it is",
        "Parking.open_parked",
        """
            try:
                with failed:
                    while not await self._park_surely(waiting):
                        await self.execution.going.wait()
                    yield
            finally:
                self._waiting -= 1
                self._back = back = trio.Event()
                self.slot_nursery.start_soon(self._bring_back, back)
        """,
        """
            try:
                with failed:
                    while not await self._park_surely(waiting):
                        await self.execution.going.wait()
                    yield
            finally:
                self._waiting -= 1
                self._back = back = trio.Event()
            self.slot_nursery.start_soon(self._bring_back, back)
        """,
        "doubts",
        "none",
    ),
    Mutant(
        "a question that was taken back takes an answer all the same",
        "log/tables/handlers:append",
        """
            for withdrawn in withdrawals:
                withdraw_ask(transaction, head, withdrawn)
        """,
        "",
        "doubts",
        "kill the daemon",
    ),
    Mutant(
        "a failing run is executed for ever",
        "next_try",
        """
            if view.retried >= view.retries:
                return None
        """,
        "",
        "retries",
        "none",
    ),
    Mutant(
        "the next try comes at once",
        "log/tables/handle_end:_put_off",
        "transaction.arrange(head, WaitPlan(head.place, not_before=moment))",
        "pass",
        "retries",
        "none",
    ),
    Mutant(
        "a run that was cancelled as it failed is tried again",
        "words/lifecycle:conclude",
        """
            if e.cancel_requested is not None:
                details = {**(e.error_details or {}), **kept}
                return terminal("cancelled", reason=e.cancel_requested, details=details)
        """,
        """
            if e.cancel_requested is not None and e.again_at is None:
                details = {**(e.error_details or {}), **kept}
                return terminal("cancelled", reason=e.cancel_requested, details=details)
        """,
        "retries",
        "cancel a run",
    ),
    Mutant(
        "what is put aside may start",
        "WaitPlan.allows_start",
        "return not self.stashed and (self.not_before is None or self.not_before <= now)",
        "return self.not_before is None or self.not_before <= now",
        "moments",
        "none",
    ),
    Mutant(
        "a moment is for nobody",
        "WaitPlan.allows_start",
        "return not self.stashed and (self.not_before is None or self.not_before <= now)",
        "return not self.stashed",
        "moments",
        "none",
    ),
    Mutant(
        "another moment is not looked at",
        "Alarm.touch",
        "self._changed.set()",
        "pass",
        "moments",
        "none",
    ),
    Mutant(
        "a restart forgets the moments of runs",
        "RunTable.seed",
        "self._note_moment(view)",
        "pass",
        "kept moments",
        "none",
    ),
    Mutant(
        "a due time is over before its run is in the log",
        "Schedules._make_up",
        "await self._submit(row, run_id)",
        """
            await self.recorder.record(AdvanceSchedule(row.name, now, row.due, following, run_id, skipped))
            await self._submit(row, run_id)
        """,
        "recurring",
        "kill the daemon",
    ),
    Mutant(
        "a schedule does not wait for its last run",
        "Schedules._make_up",
        'run_id, skipped, now = run_id_of(row.name, row.due), "", self.now()',
        """
            run_id, skipped, now = run_id_of(row.name, row.due), "", self.now()
            row = __import__("dataclasses").replace(row, last_run=None)
        """,
        "recurring",
        "none",
    ),
    Mutant(
        "a schedule is heeded if who set it is there to say so",
        "Schedules.follow",
        "self._changed.set()",
        "pass",
        "recurring",
        "none",
    ),
    Mutant(
        "who asks for a pause takes it along",
        "Suspension._ask",
        """
            await self._asks[0].send(ask)
            await ask.done.wait()
        """,
        """
            with ask.failed:
                await self._do(ask)
        """,
        "pauses",
        "cut off the submitter",
    ),
    Mutant(
        "a program is stopped before that is on record",
        "Suspension._do",
        "await self.recorder.record(write(ask.run_id, self.now()))",
        """
            for program in programs:
                await self.suspend(program, ask.stop)
            await self.recorder.record(write(ask.run_id, self.now()))
        """,
        "pauses",
        "store fails for long",
    ),
    Mutant(
        "a run that is paused gives its slot away with its program standing",
        "log/tables/handlers:park",
        "if head.state == PAUSED: return Appended()",
        "",
        "pauses",
        "none",
    ),
    Mutant(
        "a stop lets what was paused go on",
        "log/tables/handle_end:release",
        "new_event = _put_aside(new_event)",
        "pass",
        "pauses",
        "stop the daemon",
    ),
    Mutant(
        "what is paused as it gives way is lost",
        "log/tables/handle_end:_put_aside",
        """
            if isinstance(event, RunPreempted):
                event = RunRequeued(reason="preempted")
        """,
        "",
        "pauses",
        "preempt a run",
    ),
    Mutant(
        "a paused queue starts runs",
        "log/tables/handle_claim:_candidates",
        """
            if "" in paused:
                return
        """,
        "",
        "pauses",
        "none",
    ),
    Mutant(
        "a paused run is no longer counted among those that have a slot",
        "log/tables/handle_claim:_choose",
        "holding = transaction.open.within(SLOT_STATES)",
        "holding = transaction.open.within(('running',))",
        "pauses",
        "none",
    ),
)

TESTED_MUTANTS = (
    TestedMutant(
        "a later receipt says gone of what an earlier execution left",
        "Execution.end",
        "return merge_ends([own, *ends_before(self.row, over_at)])",
        "return own",
        "runs/test_receipts.py::test_what_an_earlier_execution_left_is_told_by_a_later_receipt",
    ),
    TestedMutant(
        "a receipt forgets what a preempted execution left",
        "ends_before",
        "kept = (row.outcome or {}).get('left')",
        "kept = None",
        "runs/test_receipts.py::test_what_an_earlier_execution_left_is_told_by_a_later_receipt",
    ),
    TestedMutant(
        "the last word to stop counts",
        "Stop.ask",
        """
            if self.reason is None:
                self.reason = reason
                self._deadline = trio.current_time() + self.run_seconds
                self._asked.set()
        """,
        """
            if True:
                self.reason = reason
                self._deadline = trio.current_time() + self.run_seconds
                self._asked.set()
        """,
        "runs/test_stop.py::test_the_first_word_to_stop_is_what_everybody_says",
    ),
    TestedMutant(
        "a conclusion overtakes what was sent before it",
        "Recorder._take_reserved",
        """
            while self._reserved and self._reserved[0][0] <= self._received:
                taken.append(self._reserved.popleft()[1])
        """,
        """
            while self._reserved and self._reserved[0][0] >= 0:
                taken.append(self._reserved.popleft()[1])
        """,
        "log/test_recorder.py::test_a_conclusion_follows_what_was_queued_and_closes_the_door",
    ),
    TestedMutant(
        "who waits for room speaks after the end",
        "Recorder.conclude",
        """
            if fence == write.fence:
                scope.cancel(reason='the execution has concluded')
        """,
        """
            if fence is None:
                scope.cancel(reason='the execution has concluded')
        """,
        "guarantees/test_recorder_room.py",
    ),
    TestedMutant(
        "a program is held back while its end is awaited",
        "ProcessTree._pump",
        """
        if before_read is not None and not self.over:
            with trio.CancelScope() as self.waits[name]:
                await before_read()
        """,
        """
        if before_read is not None:
            await before_read()
        """,
        "processes/test_processes.py::test_what_holds_a_program_back_does_not_outlast_it",
    ),
    TestedMutant(
        "a client that was promised a run holds it back though it never comes",
        "LiveOutput.wait_room",
        "if not self._taken and self._until is not None: patience.deadline = self._until",
        "pass",
        "runs/test_live_output.py::test_who_does_not_come_in_time_holds_nobody_back",
    ),
    TestedMutant(
        "a stream is read before the one that spoke first",
        "Turns.wait",
        "before = self._before(fd)",
        "before = set()",
        "processes/test_reading.py::test_who_spoke_first_is_read_first",
    ),
    TestedMutant(
        "who watches a terminal is waited for in memory",
        "ConsoleWatch.push",
        """
            if self._size + len(data) > self._limit:
                self._lost += self._size
                self._pieces.clear()
                self._size = 0
                self._whole = False
        """,
        "",
        "runs/test_console.py::test_a_slow_watcher_loses_what_waits_and_is_told_how_much",
    ),
    TestedMutant(
        "the session of a supervisor is taken for its program's",
        "ProcessSession.enter",
        "self.session = pid",
        "self.session = os.getsid(0)",
        """
            processes/test_terminals.py::test_a_session_is_the_programs_own_and_not_that_of_its_supervisor
        """,
    ),
    TestedMutant(
        "a program stays in the session of its supervisor",
        "processes/supervisor:execute",
        "os.setsid()",
        "",
        """
            processes/test_terminals.py::test_a_session_is_the_programs_own_and_not_that_of_its_supervisor
        """,
    ),
    TestedMutant(
        "a program that was spawned stays in the session of its supervisor",
        "processes/supervisor:spawn",
        """
            main = fork_exec(
                argv, (path,), False, (), cwd, [b"%s=%s" % pair for pair in env.items()],
                -1, -1, -1, -1, -1, -1, errors, errors_end, True, True, -1, None, None, None,
                -1 if umask is None else umask, None, True,
            )
        """,
        """
            main = fork_exec(
                argv, (path,), False, (), cwd, [b"%s=%s" % pair for pair in env.items()],
                -1, -1, -1, -1, -1, -1, errors, errors_end, True, False, -1, None, None, None,
                -1 if umask is None else umask, None, True,
            )
        """,
        """
            processes/test_terminals.py::test_a_session_is_the_programs_own_and_not_that_of_its_supervisor
        """,
    ),
    TestedMutant(
        "a program ignores what the daemon was started to ignore",
        "processes/supervisor:heed_signals",
        """
            for number in CATCHABLE - PYTHONS_OWN:
                if signal.getsignal(number) == signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
        """,
        "",
        """
            processes/test_processes.py::test_what_the_daemon_ignores_and_blocks_is_not_its_programs_business
        """,
    ),
    TestedMutant(
        "the end of the main process is taken for that of all",
        "Supervisor.members",
        """
            if self.childless and self.tree.proves and self.tree.empty(self.childless):
                return {}
        """,
        "if self.exited: return {}",
        "processes/test_processes.py::test_what_outlives_the_main_process_is_ended_and_counted",
    ),
    TestedMutant(
        "the late answer of a template is the next one's",
        "WarmLauncher._fork",
        """
            if forked is None:
                await self.close()
                raise TemplateLost(why)
        """,
        "if forked is None: raise TemplateLost(why)",
        "processes/test_forking.py::test_a_template_that_is_stopped_is_given_up",
    ),
    TestedMutant(
        "who is cancelled leaves an answer to the next one",
        "WarmLauncher._fork",
        """
            with trio.move_on_after(ANSWER_SECONDS, shield=True):
                try:
                    forked = await self._template.ask(ends.numbers, ends.theirs)
                except TemplateLost as error:
                    why = str(error)
        """,
        "forked = await self._template.ask(ends.numbers, ends.theirs)",
        """
            processes/test_forking.py::test_an_answer_belongs_to_who_asked_though_he_was_cancelled
        """,
    ),
    TestedMutant(
        "a template keeps copies of what it hands on",
        "Template._answer",
        "for fd in [*fds, *([handle] if handle >= 0 else ())]: os.close(fd)",
        "pass",
        "processes/test_processes.py::test_a_lost_supervisor_is_told_as_unknown",
    ),
    TestedMutant(
        "a template ends with the group that the daemon is in",
        "processes/template:Template.__init__",
        "heed_signals()",
        "signal.signal(signal.SIGCHLD, lambda *_: None)",
        "processes/test_forking.py::test_a_template_is_there_until_the_daemon_ends",
    ),
    TestedMutant(
        "a program begins with another size than was set before",
        "Console.feed",
        """
            if self.size is not None:
                program.resize(self.size)
        """,
        "",
        "runs/test_screen.py::test_a_size_that_is_set_before_the_program_begins_is_its_size",
    ),
    TestedMutant(
        "every place that a program saves is kept",
        "Emulator._obey_short",
        "del self._screen.savepoints[:-1]",
        "",
        "runs/test_emulator.py::test_nothing_that_is_written_grows_it",
    ),
    TestedMutant(
        "who asks for a screen waits for all that is not drawn yet",
        "KeptScreen.keep",
        "self._leave_out(began - ASKED_SECONDS)",
        "",
        """
            runs/test_screen.py::test_who_asks_does_not_wait_for_what_takes_long_to_draw
        """,
    ),
    TestedMutant(
        "a screen is asked for and what is on it follows",
        "TerminalSession._show_screen",
        "watch.forget()",
        "",
        "server/test_terminal.py::test_a_watch_goes_on_where_its_screen_ends",
    ),
    TestedMutant(
        "an input that a restart lost is repeated silently",
        "kinds/command:command",
        "if inputs.takes_input() and run.attempt > 1 and run.on_restart == 'requeue': raise Refused('inputs.stdin', 'what was sent to the run before the restart is not kept, so it is not repeated without; submit it anew')",
        "",
        "kinds/test_command.py::test_a_run_whose_input_a_restart_lost_is_not_repeated_silently",
    ),
    TestedMutant(
        "a last word that nobody read counts as heard",
        "Supervisor.run",
        """
            if proven and folder and not (said and self.wait_heard()):
                keep_proof(folder, boot_id(), self.main, self.start_time)
        """,
        """
            if proven and folder and not said:
                keep_proof(folder, boot_id(), self.main, self.start_time)
        """,
        "processes/test_testimony.py::test_a_last_word_that_was_left_unread_is_kept_as_a_proof",
    ),
    TestedMutant(
        "a supervisor looks at its lease only when nobody wakes it",
        "Supervisor.turn",
        "if lease is not None:\n    self.heed(lease)",
        "if lease is not None and not (self.poll.poll(2)):\n    self.heed(lease)",
        "processes/test_lease.py::test_a_supervisor_that_is_busy_heeds_the_lease[restless]",
    ),
    TestedMutant(
        "an end that the lease asks for has all of its grace",
        "Supervisor.wait_empty",
        "if self.lease is not None and not self.killing:\n    remaining = min(remaining, self.lease.grace_left())",
        "",
        "processes/test_lease.py::test_what_wakes_after_the_lease_is_ended_without_a_grace",
    ),
    TestedMutant(
        "a program is started after the lease",
        "Supervisor.open_lease",
        "if self.lease.passed():\n    raise OSError(errno.ETIME, os.strerror(errno.ETIME))",
        "",
        "processes/test_lease.py::test_nothing_is_started_after_the_lease",
    ),
    TestedMutant(
        "a deadline that was renewed is not read again",
        "LeaseDeadline.passed",
        "deadline, now = self.read(), self._now()",
        "deadline, now = self._armed or self.read(), self._now()",
        "processes/test_lease.py::test_a_deadline_that_moved_on_has_not_passed",
    ),
    TestedMutant(
        "the alarm of a lease stands still while the box sleeps",
        "make_timer",
        "return -1 if calls is None else calls[0](time.CLOCK_BOOTTIME, _TIMER_FLAGS)",
        "return -1 if calls is None else calls[0](time.CLOCK_MONOTONIC, _TIMER_FLAGS)",
        "processes/test_lease.py::test_the_alarm_goes_on_in_sleep",
    ),
    TestedMutant(
        "a lease that cannot be read holds for ever",
        "LeaseDeadline.read",
        "return decode(os.pread(self._fd, DEADLINE_BYTES + 1, 0))",
        "return decode(os.pread(self._fd, DEADLINE_BYTES + 1, 0)) or 2**62",
        "processes/test_lease.py::test_what_cannot_be_read_is_over",
    ),
    TestedMutant(
        "a run whose program the lease ended is completed",
        "RunPrograms.execute",
        "if any(proof.by_lease for proof in proofs):\n    raise ProcessFailed(ENDED_BY_LEASE)",
        "",
        "kinds/test_command.py::test_a_program_that_the_lease_ended_fails_its_run_whatever_it_says",
    ),
    TestedMutant(
        "a lease counts from its answer",
        "Lease.renewed",
        "deadline = asked_at + int(self.usable * 1e9)",
        "deadline = self._now() + int(self.usable * 1e9)",
        "service/test_lease.py::test_a_lease_counts_from_before_it_was_asked_for",
    ),
    TestedMutant(
        "a lease that was over is renewed",
        "Lease.renewed",
        "if self.why_over() is not None or deadline <= self._deadline:\n    return",
        "if deadline <= self._deadline:\n    return",
        "service/test_lease.py::test_what_was_over_is_not_renewed",
    ),
    TestedMutant(
        "a daemon believes in a renewal that its supervisors do not hear of",
        "Lease.renewed",
        "self._warned = True\nreturn",
        "self._warned = True",
        "service/test_lease.py::test_a_renewal_that_supervisors_cannot_hear_of_is_none",
    ),
    TestedMutant(
        "a daemon whose lease is over waits for its threads",
        "_Watch._watch",
        "self._flush()\nself._end()",
        "",
        "service/test_lease.py::test_an_end_that_does_not_come_is_cut_short",
    ),
    TestedMutant(
        "a daemon writes though its own count of its lease is over",
        "PostgresStore._check",
        "if why := self._broken or self._why_over():\n    raise self._break(why)",
        "if why := self._broken:\n    raise self._break(why)",
        "log/test_own_lease.py::test_a_daemon_past_its_own_count_writes_nothing",
    ),
    TestedMutant(
        "an alarm that could not be set is waited for",
        "LeaseDeadline.bounded",
        "if self._rings:\n    return seconds",
        "if self.alarm >= 0:\n    return seconds",
        "processes/test_refused_calls.py::test_a_lease_whose_alarm_cannot_be_set_is_looked_at_now_and_then",
    ),
    TestedMutant(
        "the last resort sleeps by a call that may be refused",
        "LastResort._wait",
        "pause(self._seconds)",
        "__import__('time').sleep(self._seconds)",
        "processes/test_refused_calls.py::test_an_end_that_is_held_up_is_cut_short_where_nobody_may_sleep",
    ),
    TestedMutant(
        "a start waits for processes by a call that may be refused",
        "processes/termination:pause",
        "select.select((), (), (), seconds)",
        "time.sleep(seconds)",
        "processes/test_refused_calls.py::test_a_start_waits_for_what_ends_where_nobody_may_sleep",
    ),
    TestedMutant(
        "who asks for a screen that takes long to draw gets it without its end",
        "KeptScreen._leave_out",
        "self._work = deque(_last(items[:place]) + items[place:])",
        "self._work = deque([i for i in items[:place] if type(i) is not bytes] + items[place:])",
        "runs/test_screen.py::test_who_asks_does_not_wait_for_what_takes_long_to_draw[-1.0]",
    ),
    TestedMutant(
        "a start gives up with the first turn that it has not had",
        "log/postgresql/ownership:_wait_turn",
        "if patience.stopped() or time.monotonic() >= give_up:\n    raise",
        "raise",
        "service/test_starts.py::test_a_start_waits_for_its_turn_longer_than_any_commit_does",
    ),
    TestedMutant(
        "a start that is to stop waits for its turn",
        "log/postgresql/ownership:_wait_turn",
        "if patience.stopped() or time.monotonic() >= give_up:\n    raise",
        "if time.monotonic() >= give_up:\n    raise",
        "service/test_starts.py::test_a_start_does_not_wait_for_ever[stopped]",
    ),
    TestedMutant(
        "the servers are imported by a loop that has a lease",
        "service/daemon:open_daemon",
        "await run_in_thread(_import_servers)",
        "",
        "service/test_starts.py::test_a_loop_that_has_a_lease_imports_nothing_of_size",
    ),
    TestedMutant(
        "a daemon that stands still within its turn keeps it",
        "log/postgresql/sharing:_forsaken",
        "db.execute(_STUCK)",
        "",
        "log/test_own_lease.py::test_a_turn_that_its_holder_forgot_is_given_back",
    ),
    TestedMutant(
        "a run that is lost waits for what cannot come",
        "RunTable._claimed",
        """
            for run_id in result.lost:
                self._give_up(run_id)
        """,
        "",
        "log/test_lost_runs.py::test_a_run_that_is_lost_while_it_waits_for_an_answer_is_ended",
    ),
    TestedMutant(
        "the cancel of a run ends a program before it could take leave",
        "runs/running_program:open_process",
        "lasting = trio.CancelScope(shield=patience > 0)",
        "lasting = trio.CancelScope()",
        "kinds/agent/test_agent_runs.py::test_a_cancel_ends_the_turn_and_leaves_nothing",
    ),
    TestedMutant(
        "a program outlives the patience with its block",
        "runs/running_program:_end_shield",
        """
            if not left.is_set():
                with trio.move_on_after(patience, shield=True):
                    await left.wait()
        """,
        """
            if not left.is_set():
                with trio.move_on_after(30, shield=True):
                    await left.wait()
        """,
        "runs/test_connected.py::test_a_block_that_does_not_end_has_its_program_ended",
    ),
    TestedMutant(
        "a question outlives who asked it",
        "Permissions.withdraw",
        """
            for name, ask in list(self.run.view.asks.items()):
                if ask.open and name.startswith(PERMIT) and name not in self.waiting:
                    await self.run.withdraw_ask(name, reason)
        """,
        "pass",
        "kinds/agent/test_agent_runs.py::test_a_wish_that_the_agent_takes_back_is_no_question_any_more",
    ),
    TestedMutant(
        "an answer is used twice",
        "Permissions._name_of",
        "if not over and name not in self.waiting and name not in view.steps:\n    return name",
        "if not over and name not in self.waiting:\n    return name",
        "kinds/agent/test_agent_runs.py::test_what_people_say_is_a_further_turn",
    ),
    TestedMutant(
        "the work of a run that was cancelled is lost",
        "kinds/agent/tree:rescued",
        """
            if not done and not run.comes_back:
                kept = False
                with trio.move_on_after(seconds, shield=True):
                    kept = await _rescue_surely(run, tree)
                if not kept:
                    run.keep_workspace()
        """,
        "pass",
        "kinds/agent/test_agent_runs.py::test_a_cancel_ends_the_turn_and_leaves_nothing",
    ),
    TestedMutant(
        "a full server that has room for a page answers again",
        "PostgresDb.rehearse",
        "self._take_room(size)",
        "pass",
        "log/test_faulty_servers.py::test_a_full_disk_of_the_server_loses_nothing",
    ),
    TestedMutant(
        "a server that takes no facts answers again",
        "PostgresDb.rehearse",
        "self.execute(_COPY_NEWEST)",
        "pass",
        "log/test_rehearsals.py::test_a_lease_is_renewed_by_a_server_that_takes_no_facts",
    ),
    TestedMutant(
        "a server that takes no facts renews no lease",
        "PostgresStore._commit",
        "refused = self._rehearse()",
        """
            if (refused := self._rehearse()) is not None:
                raise refused
        """,
        "log/test_rehearsals.py::test_a_lease_is_renewed_by_a_server_that_takes_no_facts",
    ),
    TestedMutant(
        "a lease that is over in the midst of a look has its runs given away first",
        "log/postgresql/sharing:_forsaken",
        """
            runs = frozenset((run_id for run_id, in db.execute(_FORSAKEN)))
            boxes = [(box, life) for box, life in db.execute(_OVERDUE)]
        """,
        """
            boxes = [(box, life) for box, life in db.execute(_OVERDUE)]
            runs = frozenset((run_id for run_id, in db.execute(_FORSAKEN)))
        """,
        "log/test_sharing.py::test_whose_runs_are_free_is_told_as_lost_at_once",
    ),
    TestedMutant(
        "a loss that is not taken is waited with",
        "Neighbours._note_lost",
        "lost = await self.recorder.record(write, apart=True)",
        "lost = await self.recorder.record(write)",
        "runs/test_troubled_takeover.py::test_a_loss_that_is_not_taken_holds_up_nothing_and_is_told",
    ),
    TestedMutant(
        "a box that is not forgotten holds up what others write",
        "Boxes.forget",
        "await self.recorder.record(write, apart=True)",
        "await self.recorder.record(write)",
        "runs/test_forgotten_boxes.py::test_a_word_that_is_not_taken_holds_up_no_other",
    ),
    TestedMutant(
        "what cannot be forgotten holds up what others write",
        "Retention._record",
        "apart = self.store.sharing is not None",
        "apart = False",
        "runs/test_troubled_takeover.py::test_what_cannot_be_forgotten_holds_up_no_write",
    ),
    TestedMutant(
        "a run that is not given back holds up the others",
        "runs/repair:_record",
        "done.left = error",
        "raise",
        "runs/test_troubled_takeover.py::test_a_run_that_is_not_given_back_holds_up_no_other",
    ),
    TestedMutant(
        "no lease is renewed while something is not taken",
        "Recorder._renew_if_due",
        "await self._commit([], None, [], waiting=bool(waiting))",
        "self.unavailable or await self._commit([], None, [], waiting=bool(waiting))",
        "runs/test_troubled_takeover.py::test_a_lease_is_renewed_while_what_a_run_ended_with_is_not_taken",
    ),
    TestedMutant(
        "a renewal tells that what waits is taken",
        "Committer.commit",
        """
            if waiting and results is not None:
                return results
        """,
        "pass",
        "runs/test_troubled_takeover.py::test_a_lease_is_renewed_while_what_a_run_ended_with_is_not_taken",
    ),
    TestedMutant(
        "the write-ahead log may fill the disk",
        "log/sqlite/room:must_fold",
        "return log > max(free, SMALL_LOG)",
        "return False",
        "log/test_sqlite.py::test_a_log_never_takes_more_room_than_it_leaves_free",
    ),
    TestedMutant(
        "a run that is to be repeated waits in line for something else to happen",
        "RunTable.claim",
        "wanted = bool(self.queue.queued or self.unparking) or any(isinstance(d, _BRINGS_WORK) for d in batch)",
        "wanted = bool(self.queue.queued or self.unparking) or any(isinstance(d, Enqueue) for d in batch)",
        "runs/test_repair.py::test_a_run_that_is_to_be_repeated_begins_at_once",
    ),
    TestedMutant(
        "who waited for room wakes nobody",
        "Recorder.record",
        """
            try:
                self._send.send_nowait(entry)
            except trio.WouldBlock:
                await self._send_when_room(entry)
            self._work.set()
        """,
        """
            try:
                self._send.send_nowait(entry)
            except trio.WouldBlock:
                await self._send_when_room(entry)
            else:
                self._work.set()
        """,
        "log/test_recorder.py::test_a_full_recorder_makes_pipelines_wait_and_drops_nothing",
    ),
    TestedMutant(
        "an outage makes a batch of any size",
        "Recorder._write_batch",
        "entries += self._take(self.capacity - sum((e.ordinary for e in entries)))",
        "entries += self._take(self.capacity)",
        "log/test_recorder.py::test_an_outage_holds_no_more_than_a_batch_and_a_full_channel",
    ),
    TestedMutant(
        "the mark is ahead of the log",
        "HighWater.write",
        "mark = Mark(self.store.log_id, self.store.epoch, fact.position, str(fact.event_id))",
        """
            mark = Mark(self.store.log_id, self.store.epoch, fact.position + 1, str(fact.event_id))
        """,
        "log/test_high_water.py::test_the_mark_follows_what_was_published_and_is_never_ahead",
    ),
    TestedMutant(
        "the mark is moved before the commit is published",
        "HighWater.follow",
        "newest = bus.newest",
        "[newest] = (await self.store.read_all())[-1:]",
        "log/test_high_water.py::test_the_mark_follows_what_was_published_and_is_never_ahead",
    ),
    TestedMutant(
        "a log that was put back keeps its epoch",
        "HighWater.check",
        "await self.store.renew_epoch()",
        "",
        "log/test_high_water.py::test_an_older_copy_gets_a_new_epoch_and_keeps_its_id",
    ),
    TestedMutant(
        "only the head of a log that was put back is looked at",
        "why_put_back",
        """
            if found is not None and str(found) != mark.event_id:
                return f'another fact stands at position {mark.position} than did before'
        """,
        """
            if found is None and mark.position == 0:
                return f'another fact stands at position {mark.position} than did before'
        """,
        "log/test_high_water.py::"
        "test_a_log_that_lost_its_newest_commits_and_went_on_is_noticed",
    ),
    TestedMutant(
        "an id that is kept no more is taken for new",
        "RecentIds.add",
        "self.floor = max(self.floor, oldest)",
        "",
        "log/test_sqlite.py::test_an_id_is_known_long_after_and_a_forgotten_one_is_new",
    ),
    TestedMutant(
        "the ids of forgotten runs are kept",
        "Transaction.drop",
        "self._forgotten = True",
        "",
        "log/test_sqlite.py::test_an_id_is_known_long_after_and_a_forgotten_one_is_new",
    ),
    TestedMutant(
        "the tables are asked before they have what this commit did",
        "Transaction.query",
        "self.flush()",
        "",
        "log/test_statements.py::test_what_a_commit_asks_of_the_tables_has_all_that_it_did",
    ),
    TestedMutant(
        "what one claim gives is not held when the next is made",
        "OpenRuns.move",
        "self._by_state[state][head.key] = head",
        "self._by_state[state].setdefault(0, head)",
        "log/test_store_queue.py",
    ),
    TestedMutant(
        "what went into a removed file is acknowledged",
        "SqliteStore._commit",
        "self._check_files()",
        "",
        "log/test_files.py::test_nothing_is_acknowledged_once_a_file_of_the_log_is_gone",
    ),
    TestedMutant(
        "an idle daemon does not look at its files",
        "_watch_files",
        "await store.check_files()",
        "pass",
        "log/test_files.py::"
        "test_an_idle_log_notices_too_and_ends_whatever_stands_on_it[p.db]",
    ),
    TestedMutant(
        "the lock is on the lock file alone",
        "_open_into",
        """
            if migration is not None:
                writing.lock = lock_inode(path)
        """,
        """
            if migration is not None and (not readers):
                writing.lock = lock_inode(path)
        """,
        "log/test_files.py::"
        "test_two_daemons_never_open_one_log_whatever_became_of_the_lock_file",
    ),
    TestedMutant(
        "the locks of SQLite are let go of",
        "_open_into",
        """
            for _ in range(readers):
                connections.append(_connect(path, READER_CACHE))
                connections[-1].execute('PRAGMA query_only = ON')
        """,
        """
            for _ in range(readers):
                connections.append(_connect(path, READER_CACHE))
                connections[-1].execute('PRAGMA query_only = ON')
            os.close(os.open(path, os.O_RDONLY))
        """,
        "log/test_files.py::test_the_lock_leaves_the_locks_of_sqlite_alone",
    ),
    TestedMutant(
        "who only reads an older log migrates it",
        "_open_into",
        """
            if migration is None:
                connections[:] = [_read_older(writing, path)]
                return
            migrate(writing, path, migration)
        """,
        """
            migrate(writing, path, migration or AS_USUAL)
        """,
        "log/test_migrations.py::test_who_only_reads_migrates_nothing",
    ),
    TestedMutant(
        "a migration forgets where it was",
        "_go_through",
        """
            _set_mark(db, None if done else _Mark(mark.first, place, mark.head))
        """,
        """
            _set_mark(db, None if done else mark)
        """,
        "log/test_migrations.py::"
        "test_killed_at_any_statement_it_goes_on_at_the_next_start",
    ),
    TestedMutant(
        "what is imported late is what lies there by then",
        "_serve_until",
        """
            await run_in_thread(keep_late_code)
        """,
        "",
        "service/test_upgrade.py::"
        "test_a_daemon_does_not_notice_that_its_files_were_replaced",
    ),
    TestedMutant(
        "a place beyond the log waits for ever",
        "Subscription.__init__",
        "self._unchecked = cursor > bus.head or (cursor > 0 and after_id is not None)",
        "self._unchecked = cursor > 0 and after_id is not None",
        "log/test_bus.py::test_a_cursor_above_the_head_is_told_and_goes_on_from_the_head",
    ),
    TestedMutant(
        "a place is a position and nothing else",
        "Bus.find_put_back",
        "same = not facts or after_id in (None, facts[0].event_id)",
        "same = not facts or after_id is not self",
        "log/test_bus.py::test_a_place_that_holds_another_fact_is_told_and_read_again",
    ),
    TestedMutant(
        "a window empties from the beginning",
        "Window.add",
        "self.head_end = self.edge = position - 1",
        """
            self.head_end = position - 1
            self.edge = 0
        """,
        "log/test_window.py::test_the_beginning_stays_and_the_rest_rolls",
    ),
    TestedMutant(
        "a window rolls in a commit of its own",
        "SqliteStore._commit",
        "transaction.finish()",
        """
            transaction.flush()
            self._db.execute('COMMIT')
            self._db.execute('BEGIN IMMEDIATE')
            transaction.finish()
        """,
        "log/test_window.py::test_a_piece_is_emptied_in_the_commit_that_pushes_it_out",
    ),
    TestedMutant(
        "an emptied fact is refilled by who sends it again",
        "_duplicate",
        "return Appended(facts, duplicate=True)",
        """
            for new_event, fact in zip(new_events, facts, strict=True):
                transaction.db.execute(
                    'UPDATE events SET body = ?, checksum = NULL WHERE position = ?',
                    (new_event.body, fact.position),
                )
            return Appended(facts, duplicate=True)
        """,
        "log/test_window.py::test_the_same_pieces_again_refill_nothing",
    ),
    TestedMutant(
        "an emptied fact is not known again",
        "same_fact",
        "return (isinstance(kept, Log) and isinstance(again, Log) and (kept.emptied is True) and ((kept.stream, kept.bytes) == (again.stream, size_of(again))))",
        "return False",
        "log/test_window.py::test_the_same_pieces_again_refill_nothing",
    ),
    TestedMutant(
        "an emptied piece is emptied again, and holds nothing",
        "log/tables/output_window:_empty",
        """
            if not isinstance(piece, Log) or piece.emptied:
                return
            emptied = encode_event(Log(stream=piece.stream, bytes=size_of(piece), emptied=True))
        """,
        "emptied = encode_event(Log(stream=piece.stream, bytes=kept_size(body), emptied=True))",
        "log/test_window.py::test_what_is_empty_already_is_not_emptied_again",
    ),
    TestedMutant(
        "damage is emptied with the rest",
        "empty_oldest",
        """
            if damage_of(row) is None:
                _empty(db, row)
        """,
        "_empty(db, row)",
        "log/test_window.py::test_damage_in_a_piece_is_told_and_not_wiped",
    ),
    TestedMutant(
        "a stream's bytes overtake those of the other",
        "OutputPieces._part_for",
        """
            if self._parts and self._parts[-1].stream == stream:
                return self._parts[-1]
        """,
        """
            for part in self._parts:
                if part.stream == stream:
                    return part
        """,
        "processes/test_output.py::test_a_stream_that_speaks_first_is_not_overtaken",
    ),
    TestedMutant(
        "a secret's beginning is not held back",
        "OutputPieces._ready",
        "self._tails[stream] = _Tail(whole[len(whole) - held:], until)",
        "return ready + whole",
        "processes/test_output.py::test_a_secret_that_straddles_a_flush_is_whole_in_one_piece",
    ),
    TestedMutant(
        "inputs are shown with their secrets",
        "_redacted",
        """
            match write:
                case Append(new_events=before):
                    new_events = tuple((_redacted_event(new_event, wanted) for new_event in before))
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (_clean_fields(spec.shown, wanted), _clean(spec.labels, wanted))
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return replace(write, answer=_clean(text, wanted))
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return replace(write, reason=_clean(text, wanted))
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        """
            match write:
                case Append(new_events=before):
                    new_events = tuple((_redacted_event(new_event, wanted) for new_event in before))
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (spec.shown, _clean(spec.labels, wanted))
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return replace(write, answer=_clean(text, wanted))
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return replace(write, reason=_clean(text, wanted))
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        "log/test_redaction.py::test_inputs_are_shown_redacted_and_kept_whole",
    ),
    TestedMutant(
        "labels keep their secrets",
        "_redacted",
        """
            match write:
                case Append(new_events=before):
                    new_events = tuple((_redacted_event(new_event, wanted) for new_event in before))
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (_clean_fields(spec.shown, wanted), _clean(spec.labels, wanted))
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return replace(write, answer=_clean(text, wanted))
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return replace(write, reason=_clean(text, wanted))
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        """
            match write:
                case Append(new_events=before):
                    new_events = tuple((_redacted_event(new_event, wanted) for new_event in before))
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (_clean_fields(spec.shown, wanted), spec.labels)
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return replace(write, answer=_clean(text, wanted))
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return replace(write, reason=_clean(text, wanted))
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        "log/test_redaction.py::test_what_people_say_is_redacted",
    ),
    TestedMutant(
        "answers keep their secrets",
        "_redacted",
        """
            match write:
                case Append(new_events=before):
                    new_events = tuple((_redacted_event(new_event, wanted) for new_event in before))
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (_clean_fields(spec.shown, wanted), _clean(spec.labels, wanted))
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return replace(write, answer=_clean(text, wanted))
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return replace(write, reason=_clean(text, wanted))
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        """
            match write:
                case Append(new_events=before):
                    new_events = tuple((_redacted_event(new_event, wanted) for new_event in before))
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (_clean_fields(spec.shown, wanted), _clean(spec.labels, wanted))
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return write
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return replace(write, reason=_clean(text, wanted))
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        "log/test_redaction.py::test_what_people_say_is_redacted",
    ),
    TestedMutant(
        "the reasons of cancels and pauses keep their secrets",
        "_redacted",
        """
            match write:
                case Append(new_events=before):
                    new_events = tuple((_redacted_event(new_event, wanted) for new_event in before))
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (_clean_fields(spec.shown, wanted), _clean(spec.labels, wanted))
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return replace(write, answer=_clean(text, wanted))
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return replace(write, reason=_clean(text, wanted))
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        """
            match write:
                case Append(new_events=before):
                    new_events = tuple((_redacted_event(new_event, wanted) for new_event in before))
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (_clean_fields(spec.shown, wanted), _clean(spec.labels, wanted))
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return replace(write, answer=_clean(text, wanted))
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return write
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        "log/test_redaction.py::test_what_people_say_is_redacted",
    ),
    TestedMutant(
        "facts keep their secrets",
        "_redacted",
        """
            match write:
                case Append(new_events=before):
                    new_events = tuple((_redacted_event(new_event, wanted) for new_event in before))
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (_clean_fields(spec.shown, wanted), _clean(spec.labels, wanted))
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return replace(write, answer=_clean(text, wanted))
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return replace(write, reason=_clean(text, wanted))
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        """
            match write:
                case Append(new_events=before):
                    new_events = before
                    return write if new_events == before else replace(write, new_events=new_events)
                case Complete(new_event=before) | Release(new_event=before):
                    return replace(write, new_event=_redacted_event(before, wanted))
                case Enqueue(spec=spec):
                    shown, labels = (_clean_fields(spec.shown, wanted), _clean(spec.labels, wanted))
                    return replace(write, spec=replace(spec, shown=shown, labels=labels))
                case Answer(answer=text):
                    return replace(write, answer=_clean(text, wanted))
                case RequestCancel(reason=text) | SetPause(reason=text):
                    return replace(write, reason=_clean(text, wanted))
                case AdvanceSchedule(skipped=text):
                    return replace(write, skipped=_clean(text, wanted))
                case Edit(shown=shown):
                    return replace(write, shown=_clean_fields(shown, wanted))
                case SetSchedule(row=row):
                    clean = replace(row, shown=_clean_fields(row.shown, wanted))
                    return replace(write, row=clean)
                case Park(waiting=waiting):
                    subject = _clean(waiting.subject, wanted)
                    return replace(write, waiting=replace(waiting, subject=subject))
                case _:
                    return write
        """,
        "log/test_redaction.py::test_what_people_say_is_redacted",
    ),
    TestedMutant(
        "a reader that missed many is told of one",
        "Subscription._skip",
        "self.drops += missed",
        "self.drops += 1",
        "log/test_bus.py::test_a_slow_reader_gets_what_its_policy_says",
    ),
    TestedMutant(
        "a client is written to while it is full",
        "StreamWriter._write_batches",
        """
            if chunk and (not write(chunk)):
                return False
        """,
        """
            if chunk:
                write(chunk)
        """,
        "server/test_stream_writer.py::"
        "test_a_client_that_is_full_is_not_written_to_and_misses_nothing",
    ),
    TestedMutant(
        "a stop takes no last look",
        "StreamWriter._write_sign",
        "return self._end(write, STOPPING, self._encode(batch) if batch else b'')",
        "return self._end(write, STOPPING, b'')",
        "server/test_stream_writer.py::test_every_form_says_the_same_of_a_stop",
    ),
    TestedMutant(
        "a child does not inherit its priority",
        "Run.spawn_run",
        """
            request = ChildRequest(kind=kind, inputs=dict(inputs), run_id=child_id, priority=self.priority if priority is None else priority, timeout=timeout, on_restart=on_restart, traceparent=self.traceparent)
        """,
        """
            request = ChildRequest(kind=kind, inputs=dict(inputs), run_id=child_id, priority=Priority.MEDIUM, timeout=timeout, on_restart=on_restart, traceparent=self.traceparent)
        """,
        "runs/test_run.py::test_a_child_is_as_important_as_its_parent",
    ),
    TestedMutant(
        "a reader takes what comes again",
        "Cursor.take",
        """
            if fact['position'] <= self.position:
                continue
        """,
        "",
        "client/test_log_reader.py::test_what_comes_again_after_a_loss_is_told_once",
    ),
    TestedMutant(
        "a reader goes on in the middle of another log",
        "LogReader._greet",
        """
            if known in ('', greeting.epoch):
                return [greeting]
        """,
        """
            if True:
                return [greeting]
        """,
        "client/test_log_reader.py::"
        "test_another_log_is_read_from_its_beginning_on_a_new_connection",
    ),
    TestedMutant(
        "a caller is not told that its place is of another log",
        "LogReader._go_back",
        """
            if self.cursor.given:
                raise put_back(self.cursor.position, gap["first"])
        """,
        """
            if False:
                raise put_back(self.cursor.position, gap["first"])
        """,
        "client/test_log_reader.py::"
        "test_a_place_of_the_callers_that_the_log_does_not_hold_is_its_problem",
    ),
    TestedMutant(
        "a failure of Penstock's own ends like a program's",
        "exit_code_of",
        "return Exit.PENSTOCK if verb in RUN_VERBS and code != Exit.USAGE else code",
        "return code",
        "cli/test_main.py::test_the_daemons_errors_have_their_exit_codes",
    ),
    TestedMutant(
        "a signal that ended the program is forgotten",
        "words/run_exit:_of_program",
        """
            if isinstance(number, int) and 0 < number < 128:
                return RunExit(128 + number, 'signal')
        """,
        "",
        "words/test_run_exit.py::test_an_end_is_an_exit_code_and_whose",
    ),
    TestedMutant(
        "a cancelled run ends as its program did",
        "exit_of_run",
        """
            if state == CANCELLED:
                return RunExit(Exit.CANCELLED, 'penstock')
        """,
        "",
        "words/test_run_exit.py::test_an_end_is_an_exit_code_and_whose",
    ),
    TestedMutant(
        "the same reason for waiting is told again and again",
        "Telling.tell",
        """
        if reason not in {'', before}:
            self._notes.end_line()
            say(f'{self._prefix}{why}')
        """,
        """
        if reason:
            self._notes.end_line()
            say(f'{self._prefix}{why}')
        """,
        "cli/test_patience.py::test_it_is_told_again_only_when_the_reason_changes",
    ),
    TestedMutant(
        "each second that a box is silent is another reason to wait",
        "Telling.tell",
        "reason = _RUNNING_TIME.sub('', why)",
        "reason = why",
        "cli/test_patience.py::test_a_time_that_passes_is_no_other_reason",
    ),
    TestedMutant(
        "a daemon is asked without a pause why a run waits",
        "Telling._pause",
        "return backoff(self._looks + 1, first, longest)",
        "return first",
        "cli/test_patience.py::test_a_wait_of_hours_asks_a_bounded_number_of_times",
    ),
    TestedMutant(
        "what a program left behind is counted again after a lost connection",
        "RunNotes._note",
        "self._left[fact.sequence] = getattr(event, 'leftover', 0)",
        "self._left[len(self._left) + 1] = getattr(event, 'leftover', 0)",
        "cli/test_ending.py::test_what_was_left_behind_is_counted_once",
    ),
    TestedMutant(
        "a conflict does not say what differs",
        "log/tables/handle_submit:_differing",
        "found = [n for n in names if inputs.get(n) != wanted.get(n)]",
        "found = []",
        "log/test_store_queue.py::test_a_run_is_accepted_once",
    ),
    TestedMutant(
        "a submit of a known run looks like a new one",
        "submit_json",
        "return reply.model_dump(mode='json', exclude=None if live else {'live'})",
        "return {**reply.model_dump(mode='json'), 'created': True}",
        "server/test_json_bodies.py::test_a_submit_says_whether_the_run_was_there_before",
    ),
    TestedMutant(
        "Python's buffering is ours to say",
        "kinds/command:command",
        "env = {**BUFFERING, **await run.environ(), **inputs.env}",
        "env = {**inputs.env, **BUFFERING}",
        "kinds/test_command.py::"
        "test_what_python_prints_is_seen_as_it_comes_unless_the_caller_says_otherwise",
    ),
    TestedMutant(
        "a program sets the clipboard of the terminal that shows its output",
        "LineReader._lines",
        "yield from self._write(neutralise(token[0]), self._style)",
        "yield from self._write(token[0], self._style)",
        "words/test_display.py::test_what_a_terminal_would_obey_is_seen",
    ),
    TestedMutant(
        "a line without escapes may have controls of C1 in it",
        "LineReader.feed",
        """
            if self._style == PLAIN and not UNSAFE.search(text):
                return list(self._plain_lines(text))
        """,
        """
            if self._style == PLAIN and '\\x1b' not in text and '\\r' not in text:
                return list(self._plain_lines(text))
        """,
        "words/test_display.py::test_what_a_terminal_would_obey_is_seen",
    ),
    TestedMutant(
        "colours of a run stay on the terminal",
        "painted",
        "return f'\\x1b[{style.codes}m{text}{RESET}' if text and style != PLAIN else text",
        "return f'\\x1b[{style.codes}m{text}' if text and style != PLAIN else text",
        "words/test_display.py::test_after_each_piece_the_terminal_has_its_own_colours",
    ),
    TestedMutant(
        "what is no longer kept is told among the bytes",
        "server/rest/output:_PageBytes._bytes_of",
        "return b''",
        "return b'?'",
        "server/test_output.py::test_what_is_no_longer_kept_is_told_in_the_head",
    ),
    TestedMutant(
        "what went before it was sent is left out of a live output",
        "server/encoders:_kept_bytes",
        "if data is None: raise Unfinished(f'{size_of(piece)} bytes of the output are no longer kept')",
        "if data is None: return b''",
        "server/test_output.py::test_what_was_emptied_before_it_was_sent_breaks_the_answer_off",
    ),
    TestedMutant(
        "a caller's environment is told with its run",
        "log/tables/handle_submit:_queued",
        """
            event = RunQueued(kind=s.kind, priority=s.priority, inputs=dict(s.shown), labels=dict(s.labels), after=s.after, group=s.group, timeout=s.timeout, parent_id=s.parent_id, retry_of=s.retry_of, not_before=s.not_before, stashed=s.stashed, retries=s.retries, backoff=s.backoff if s.retries else 0.0, traceparent=s.traceparent, needs=dict(s.needs), origin=s.origin)
        """,
        """
            event = RunQueued(kind=s.kind, priority=s.priority, inputs={**s.shown, 'environ': str(s.surroundings.environ)}, labels=dict(s.labels), after=s.after, group=s.group, timeout=s.timeout, parent_id=s.parent_id, retry_of=s.retry_of, traceparent=s.traceparent)
        """,
        "runs/test_callers.py::test_no_fact_and_no_reply_tells_of_it",
    ),
    TestedMutant(
        "an environment outlives the runs that had it",
        "log/tables/handle_prune:prune",
        """
            if runs and ENVIRONMENTS not in write.skip_beside:
                with _naming(db, ENVIRONMENTS):
                    forget_unused(db)
        """,
        "",
        "log/test_environments.py::test_an_environment_goes_with_the_last_run_that_has_it",
    ),
    TestedMutant(
        "what was forgotten is still in the file",
        "log/sqlite/database:_set_up",
        "db.execute('PRAGMA secure_delete = ON')",
        "db.execute('PRAGMA secure_delete = OFF')",
        "log/test_environments.py::test_nothing_of_what_was_forgotten_is_left_in_the_file",
    ),
    TestedMutant(
        "an environment is exported",
        "export_lines",
        """
            if table == 'callers':
                values['environment'] = None
        """,
        "",
        """
            log/test_environments.py::test_an_export_says_who_had_an_environment_and_not_what_it_held
        """,
    ),
    TestedMutant(
        "a terminal is a part of what a run is",
        "wanted_variables",
        "passed: dict[str, str] = {}",
        "passed: dict[str, str] = dict(environ)",
        "cli/test_execute.py::test_the_caller_gives_its_folder_its_environment_and_its_umask",
    ),
    TestedMutant(
        "a child has the daemon's environment",
        "keep_surroundings",
        """
            if (source := (spec.retry_of or spec.parent_id)):
                db.execute(_INHERIT, (key, source))
        """,
        """
            if (source := spec.retry_of):
                db.execute(_INHERIT, (key, source))
        """,
        "runs/test_callers.py::test_children_have_what_their_parent_has",
    ),
    TestedMutant(
        "anybody says how clients address the daemon",
        "PublicAddress.base_of",
        "told = _told(request_head) if self._trusts(peer) else {}",
        "told = _told(request_head)",
        "server/test_public_address.py::test_nobody_else_is_believed",
    ),
    TestedMutant(
        "every page may read what is answered",
        "Guard.shared_with",
        "return origin if origin in self.allowed_origins else None",
        "return origin",
        "server/test_browsers.py::test_nobody_elses_page_may",
    ),
    TestedMutant(
        "a rebound name passes as a browser's question",
        "Guard.judge_preflight",
        """
            return (
                self._judge_host(request_head)
                or self._judge_origin(request_head)
                or _judge_query(request_head)
                or self._judge_size(request_head)
            )
        """,
        "return None",
        "server/test_browsers.py::test_a_preflight_passes_the_guard_of_hosts",
    ),
    TestedMutant(
        "what was redacted is folded as it was said",
        "NewEvent.with_body",
        "return self._replace(body=body, event=None)",
        "return self._replace(body=body)",
        "log/test_redaction.py::test_what_an_open_run_asks_is_shown_redacted",
    ),
    TestedMutant(
        "a restart forgets when a run may start",
        "load_open_runs",
        "head.plan, head.place = plan, plan.turn",
        "head.place = plan.turn",
        "log/test_plans.py::test_a_plan_is_in_the_log",
    ),
    TestedMutant(
        "a moment passes and nobody looks",
        "Alarm._look",
        "self.ring()",
        "pass",
        "runs/test_delays.py::test_a_delayed_run_starts_at_its_moment",
    ),
    TestedMutant(
        "the time of day is read once",
        "wait_moment",
        "scope.deadline = trio.current_time() + min(left, LOOK_SECONDS)",
        "scope.deadline = trio.current_time() + left",
        "runs/test_delays.py::test_a_clock_that_is_set_forwards_is_noticed",
    ),
    TestedMutant(
        "every failure ends its run",
        "words/lifecycle:conclude",
        """
            if e.again_at is not None:
                return _again(e.again_at, e.error)
        """,
        "",
        "runs/test_retries.py::test_a_run_that_fails_is_executed_again",
    ),
    TestedMutant(
        "a run is tried again without end",
        "next_try",
        """
            if view.retried >= view.retries:
                return None
        """,
        "",
        "runs/test_retries.py::test_the_last_failure_ends_the_run",
    ),
    TestedMutant(
        "a run that is tried again does not wait",
        "log/tables/handle_end:_put_off",
        "transaction.arrange(head, WaitPlan(head.place, not_before=moment))",
        "pass",
        "runs/test_retries.py::test_a_run_that_fails_is_executed_again",
    ),
    TestedMutant(
        "two runs have one place",
        "log/tables/handlers:_turn",
        "return min((other.place for other in transaction.open.all())) - 1",
        "return min(others, default=head.place)",
        "log/test_plans.py::test_places_are_those_of_a_list_that_is_rearranged",
    ),
    TestedMutant(
        "a claim gets the inputs of before",
        "Transaction.respecify",
        "self._whole.pop(head.key, None)",
        "pass",
        "log/test_plans.py::test_a_run_is_edited_until_it_begins",
    ),
    TestedMutant(
        "a schedule's run has any id",
        "runs/schedules:run_id_of",
        "return f'{name}@{due.astimezone(UTC):%Y%m%dT%H%M%SZ}'",
        "return f'{name}@{__import__(\"uuid\").uuid4()}'",
        "runs/test_schedules.py::test_a_death_between_the_run_and_the_next_due_time_makes_none_twice",
    ),
    TestedMutant(
        "every due time that was missed makes a run",
        "Schedules._make_up",
        "following = next_due(row.timing, row.zone, made_at=row.made_at, after=now)",
        "following = next_due(row.timing, row.zone, made_at=row.made_at, after=row.due)",
        "runs/test_schedules.py::test_due_times_without_a_daemon_are_made_up_for_by_one_run",
    ),
    TestedMutant(
        "a schedule moves on before its run is in the log",
        "Schedules._make_up",
        """
            try:
                await self._submit(row, run_id)
            except _PASSING as error:
                return self._wait_with(row.name, error)
            except PenstockError as error:
                skipped = str(error)
        """,
        """
            try:
                await self._submit(row, run_id)
            except PenstockError as error:
                skipped = str(error)
        """,
        "runs/test_schedules.py::test_a_full_queue_makes_a_due_time_wait",
    ),
    TestedMutant(
        "slots are forgotten by a restart",
        "RunTable.begin_with",
        """
            for group, slots in opening.slots.items():
                self.give_slots(group, slots)
        """,
        "",
        "runs/test_slots.py::test_slots_are_kept_over_a_restart_until_they_are_reset",
    ),
    TestedMutant(
        "new slots wait for something to happen",
        "QueueControl.follow",
        "self.recorder.kick()",
        "pass",
        "runs/test_slots.py::test_more_slots_are_used_at_once",
    ),
    TestedMutant(
        "who adopted the program of a lost supervisor is stopped with all that is his",
        "processes/suspension:_members",
        "if stat.parent in {0, 1, *own_line()}: return None",
        "if stat.parent in {0, 1}: return None",
        """
            processes/test_suspension.py::test_who_has_adopted_the_program_of_a_lost_supervisor_is_left_alone
        """,
    ),
    TestedMutant(
        "a program that begins as its run is paused goes on",
        "RunPrograms._start",
        "await self.on_begun(event)",
        "pass",
        """
            runs/test_suspension.py::test_a_program_that_begins_as_its_run_is_paused_stands_too
        """,
    ),
    TestedMutant(
        "who forgot his run since he was seen is forgotten too",
        "_Remnants.members",
        "self.known = found",
        "",
        "processes/test_processes.py::test_who_was_seen_is_ended_though_he_forgets_his_run_then",
    ),
    TestedMutant(
        "only the first process is stopped",
        "processes/suspension:suspend",
        """
            for pid, since in new.items():
                send(pid, since, signal.SIGSTOP)
        """,
        "send(program.pid, program.start_time, signal.SIGSTOP)",
        "processes/test_suspension.py::test_a_tree_is_stopped_whole_and_goes_on[subreaper]",
    ),
    TestedMutant(
        "the time of a paused program runs out",
        "Execution.suspend",
        "self.stop_clock()",
        "pass",
        "runs/test_suspension.py::test_the_time_of_a_paused_program_stands_still",
    ),
    TestedMutant(
        "a restart lets a paused program go on",
        "log/tables/handle_end:release",
        "new_event = _put_aside(new_event)",
        "pass",
        "runs/test_suspension.py::test_a_restart_does_not_forget_it[requeue]",
    ),
    TestedMutant(
        "any page that names this box is the daemon's own",
        "Guard._is_own",
        "return origin == f'http://{host}' or origin in self.own_origins",
        "return origin.startswith('http://') or origin in self.own_origins",
        "server/test_page.py::test_only_a_page_that_came_by_this_address_is_our_own",
    ),
    TestedMutant(
        "the code of a page is good again",
        "PageCodes.use",
        """
            if self._ends.pop(code, 0.0) <= trio.current_time():
                why = "this code was used, or is too old: `penstock open` makes another"
                raise Unauthorised(why)
        """,
        """
            if self._ends.get(code, 0.0) <= trio.current_time():
                why = "this code was used, or is too old: `penstock open` makes another"
                raise Unauthorised(why)
        """,
        "server/test_page.py::test_a_code_is_good_once_and_for_a_moment",
    ),
    TestedMutant(
        "the key of a page opens everything",
        "PageKeys.admits",
        "if told is None or not page_may_ask(method, path): return False",
        "if told is None: return False",
        "server/test_page.py::test_the_key_of_a_page_ends_by_itself_and_with_the_token",
    ),
    TestedMutant(
        "what a run asks of REST is not judged",
        "server/app:_view.view.read_call",
        """
            if call.scope is not None:
                await judge.admit(call.scope, route.for_run, await _asked_of(call, numbered))
        """,
        "",
        "server/test_run_scopes.py::test_no_question_is_answered_by_a_run",
    ),
    TestedMutant(
        "what a run asks of streams is not judged",
        "judge_stream",
        "await judge.admit(run, may, wanted.run_id)",
        "",
        "server/test_run_scopes.py::test_a_stream_is_judged_by_the_run_that_is_followed",
    ),
    TestedMutant(
        "what a run asks of a tool is not judged",
        "Handlers._call",
        "await self._judge.admit(scope, TOOLS[name].for_run, run_id)",
        "",
        "server/test_run_scopes.py"
        "::test_a_run_may_ask_of_mcp_what_its_table_says_and_nothing_else[2025-11-25]",
    ),
    TestedMutant(
        "answers come with the call of a run",
        "Handlers._call",
        """
            if scope is None:
                await take_responses(self._tasks, params)
        """,
        "await take_responses(self._tasks, params)",
        "server/test_run_scopes.py"
        "::test_an_answer_in_a_call_that_waits_is_not_taken_of_a_run",
    ),
    TestedMutant(
        "what a run sends to a program is not judged",
        "make_stdin_app.app",
        "await judge.admit(scope['state'][RUN_STATE], _ROUTE.for_run)",
        "",
        "server/test_run_scopes.py"
        "::test_a_run_may_ask_of_rest_what_its_table_says_and_nothing_else[send_stdin]",
    ),
    TestedMutant(
        "a run may look at any run",
        "ScopeJudge.admit",
        """
            if may == 'tree' and run_id is not None and await self._in_tree(run_id, scope):
                return
        """,
        """
            if may == 'tree':
                return
        """,
        "server/test_run_scopes.py"
        "::test_a_run_may_ask_of_rest_what_its_table_says_and_nothing_else[get_run]",
    ),
    TestedMutant(
        "a token outlives the execution that it was made for",
        "RunTokens.read",
        "if not right or execution is None or execution.row.attempt != attempt: raise Unauthorised('the token is that of a run which is over, or of none')",
        "if not right or execution is None: raise Unauthorised('the token is that of a run which is over, or of none')",
        "server/test_run_scopes.py::test_a_token_is_that_of_one_execution",
    ),
    TestedMutant(
        "any token of a run's form is good",
        "RunTokens.read",
        "right = hmac.compare_digest(shown, self._sign(_decoded(told[3]), attempt))",
        "right = True",
        "server/test_run_scopes.py::test_a_token_is_dead_with_its_run",
    ),
    TestedMutant(
        "what a run has opened outlives it",
        "_as_long_as.as_long_as",
        """
            async with open_while(run):
                await app(scope, receive, send)
        """,
        "await app(scope, receive, send)",
        "server/test_run_scopes.py"
        "::test_a_stream_of_a_child_ends_with_the_run_that_follows_it",
    ),
    TestedMutant(
        "a program of a guarded run is what it shows",
        "Guard.run_of",
        """
            if request_head.within is not None:
                request_head.within.check()
                return request_head.within
        """,
        "",
        "server/test_run_scopes.py"
        "::test_a_process_of_a_guarded_run_has_its_scope_whatever_it_shows",
    ),
    TestedMutant(
        "of whom nothing can be read is the owner",
        "GuardedTrees.judge",
        """
            if one.whole or self._is_older(one):
                return None
        """,
        "return None",
        "runs/test_guarded_trees.py::test_of_whom_nothing_can_be_read_nothing_is_taken",
    ),
    TestedMutant(
        "who knocked before its end is the owner after it",
        "GuardedTrees.open_tree",
        "self.linger()",
        "",
        "runs/test_guarded_trees.py"
        "::test_who_knocked_before_the_end_is_looked_at_after_it",
    ),
    TestedMutant(
        "who knocked at the end of the last life is the owner",
        "runs/open_core:_repair",
        "await _linger(core, rows)",
        "",
        "runs/test_guarded_trees.py"
        "::test_a_daemon_whose_last_life_had_agents_looks_at_who_comes_first",
    ),
    TestedMutant(
        "a child of a guarded run is the owner",
        "is_guarded",
        "run = await ancestor(run.parent_id)",
        "return False",
        "server/test_run_scopes.py::test_what_a_run_made_is_no_owner_either",
    ),
    TestedMutant(
        "a child whose parent is forgotten fails",
        "is_guarded",
        """
            try:
                run = await ancestor(run.parent_id)
            except (RunNotFound, LogDamaged):
                return True
        """,
        "run = await ancestor(run.parent_id)",
        "runs/test_guarded_trees.py"
        "::test_a_child_whose_parent_is_forgotten_is_executed_and_held_to_a_scope",
    ),
    TestedMutant(
        "the token of a run is recorded",
        "RunTokens.make",
        "self.secrets.add(token)",
        "",
        "server/test_run_scopes.py::test_what_the_log_records_has_no_token_in_it",
    ),
    TestedMutant(
        "a stranger's body is read",
        "Guard._judge_size",
        "if has_body and not self.has_shown_token(request_head): return body_too_large(0)",
        "",
        "server/test_page.py::test_a_stranger_has_no_body_read",
    ),
    TestedMutant(
        "a verb that changes runs takes the one of interest where none is named",
        "select_named",
        "return select(session, words if named else (ask_for_run(session, verb),))",
        "return select(session, words or ('',))",
        "cli/test_selecting.py::"
        "test_a_verb_that_changes_something_names_the_candidates_instead",
    ),
    TestedMutant(
        "a verb that changes runs takes an empty word for the one of interest",
        "select_named",
        "named = bool(words) and all(words)",
        "named = bool(words)",
        "cli/test_selecting.py::"
        "test_an_empty_word_means_no_run_to_a_verb_that_changes_something",
    ),
    TestedMutant(
        "a verb that changes one run takes the one of interest where none is named",
        "select_named_one",
        "return select_one(session, word or ask_for_run(session, verb))",
        "return select_one(session, word)",
        "cli/test_selecting.py::"
        "test_a_verb_that_changes_something_names_the_candidates_instead",
    ),
    TestedMutant(
        "the number of a forgotten run is given again",
        "log/tables/handle_prune:_keep_numbers",
        "transaction.set_meta('numbered', highest)",
        "pass",
        "runs/test_selection.py::test_an_imported_log_goes_on_counting",
    ),
    TestedMutant(
        "who waits for a commit that is recalled is not woken",
        "Recorder._commit",
        "self._wake(before)",
        "pass",
        "log/test_recorder.py::"
        "test_a_commit_that_is_recalled_is_settled_as_if_its_answer_had_come",
    ),
    TestedMutant(
        "a commit whose answer was lost is taken for undone",
        "PostgresStore._recall",
        "done = self._db.own_commits() == made",
        "done = False",
        "log/test_postgresql.py::"
        "test_a_commit_whose_answer_was_lost_is_known_to_be_done_or_not[answer]",
    ),
    TestedMutant(
        "a daemon whose lease is over goes on writing",
        "PostgresDb.save",
        "if not self.execute(sql, values).rowcount: raise self._lease_lost()",
        "self.execute(sql, values)",
        "log/test_postgresql.py::"
        "test_every_commit_renews_the_lease_and_nothing_is_written_without_one",
    ),
    TestedMutant(
        "a commit whose last write was lost on the way is taken for done",
        "PostgresDb.save",
        """
            self.made = self.commits + 1
            if not self.execute(sql, values).rowcount:
                raise self._lease_lost()
        """,
        """
            if not self.execute(sql, values).rowcount:
                raise self._lease_lost()
            self.made = self.commits + 1
        """,
        "log/test_postgresql.py::"
        "test_a_commit_whose_answer_was_lost_is_known_to_be_done_or_not[statement]",
    ),
    TestedMutant(
        "slots of another box are one's own",
        "log/tables/handle_claim:_choose",
        "free = d.slots - sum([head.life == d.life for head in holding])",
        "free = d.slots - held.total()",
        "runs/test_shared_log.py::test_each_box_executes_what_it_claims_and_all_see_everything",
    ),
    TestedMutant(
        "a start repairs what other boxes execute",
        "runs/open_core:_repair",
        "rows = [r for r in rows if r.host == sharing.box or r.run_id in lost]",
        "pass",
        "runs/test_shared_log.py::test_a_cancel_acts_where_the_run_is_and_tells_of_it_once_it_is_over",
    ),
    TestedMutant(
        "an execution that was given away and came back holds up the stop",
        "RunTable._claimed",
        "earlier.concluded.set()",
        "",
        "runs/test_shared_log.py::test_what_another_box_gave_away_ends_here_and_holds_up_no_stop",
    ),
    TestedMutant(
        "an execution that was given away and came back goes on beside the new one",
        "RunTable._claimed",
        'earlier.scope.cancel(reason="another daemon spoke for the run")',
        "",
        "runs/test_shared_log.py::test_what_another_box_gave_away_ends_here_and_holds_up_no_stop",
    ),
    TestedMutant(
        "a cancel that comes from another box is only noted",
        "RunTable._heed",
        "execution.cancel(event.reason)",
        "pass",
        "runs/test_shared_log.py::test_a_cancel_acts_where_the_run_is_and_tells_of_it_once_it_is_over",
    ),
    TestedMutant(
        "a run that another box executes is gone by the word of this one",
        "Control._end_elsewhere",
        "return RunEnd(None, survivors='unknown' if wait else ())",
        "return RunEnd(None)",
        "runs/test_shared_log.py::test_who_waits_in_vain_for_another_box_is_told_that_nothing_is_known",
    ),
    TestedMutant(
        "own results are applied before what others wrote is known",
        "Recorder._settle",
        "between = await self._others.read_between(facts)",
        "pass",
        "runs/test_shared_log.py::test_each_box_executes_what_it_claims_and_all_see_everything",
    ),
    TestedMutant(
        "a box that was lost keeps its runs",
        "Neighbours._give_back",
        "rows.append(row)",
        "pass",
        "runs/test_shared_log.py::test_what_a_silent_box_executed_is_taken_over_when_its_lease_is_over",
    ),
    TestedMutant(
        "a box that was lost is told again by each who looks",
        "log/tables/boxes:lose_box",
        "transaction.db.execute(sql, (write.box,))",
        "pass",
        "runs/test_shared_log.py::test_what_a_silent_box_executed_is_taken_over_when_its_lease_is_over",
    ),
    TestedMutant(
        "a server that took another's place is believed to lack no claim",
        "PostgresDb._settle",
        "self.may_claim = not others",
        "pass",
        "log/test_postgresql.py::"
        "test_on_another_server_nobody_claims_until_all_have_said_that_they_lack_nothing",
    ),
    TestedMutant(
        "a box takes the name of another that is there",
        "_check_free",
        "same = machine == owner.machine and folder in {'', owner.folder}",
        "same = True",
        "log/test_postgresql.py::"
        "test_a_box_with_a_name_that_another_has_is_refused_and_touches_nothing",
    ),
    TestedMutant(
        "a server that lost what it acknowledged is believed",
        "PostgresDb.lock",
        "if why := self._lost(changes, commits, newest, found): self._tell_lost(why)",
        "pass",
        "log/test_postgresql.py::"
        "test_a_server_that_lost_what_it_acknowledged_ends_the_daemon",
    ),
    TestedMutant(
        "others are not told that a run was forgotten",
        "Transaction.drop",
        "self.db.mark_untold()",
        "pass",
        "log/test_catch_up.py::test_what_others_did_is_caught_up_with[2]",
    ),
    TestedMutant(
        "others are not told what no fact tells",
        "Transaction.finish",
        "self.db.mark_untold()",
        "pass",
        "log/test_catch_up.py::test_what_no_fact_tells_of_is_read_all_the_same",
    ),
    TestedMutant(
        "ids that another recorded are taken for new ones",
        "RecentIds.pass_over",
        "self.floor = max(self.floor, highest)",
        "pass",
        "log/test_catch_up.py::test_a_long_line_is_not_read_again_for_what_another_adds",
    ),
    TestedMutant(
        "the first page of what others wrote is taken for all of it",
        "_may_go_on",
        "if len(page) >= PAGE: return True",
        "",
        "runs/test_shared_log.py::test_what_others_wrote_is_read_to_its_end_and_no_further",
    ),
    TestedMutant(
        "what others wrote within a batch that went one by one is not read",
        "OtherWriters.read_between",
        "end = first - 1 if last - first + 1 == len(facts) else last",
        "end = first - 1",
        "runs/test_shared_log.py::test_what_others_wrote_within_a_batch_that_went_one_by_one_is_folded",
    ),
    TestedMutant(
        "what a server planned while a log was small is kept",
        "PostgresDb._plan_anew",
        'self._send("DISCARD PLANS", ())',
        "pass",
        "log/test_grown_plans.py::test_a_turn_reads_no_more_of_a_long_log_than_it_needs[True]",
    ),
    TestedMutant(
        "a server may read all runs to find the few that others touched",
        "translate",
        "text = _EACH.sub(each, text)",
        "pass",
        "log/test_grown_plans.py::test_a_turn_reads_no_more_of_a_long_log_than_it_needs[False]",
    ),
    TestedMutant(
        "what is missing from a column is empty",
        "log/postgresql/columns:_array",
        "parts.append(_NULL)",
        "parts.append(_LENGTH(0))",
        "log/test_columns.py::test_columns_are_what_the_server_takes_them_for",
    ),
    TestedMutant(
        "a run that another edited is started as it was",
        "Transaction._look_again",
        "del self._whole[key]",
        "pass",
        "log/test_catch_up.py::test_what_others_did_is_caught_up_with[12]",
    ),
    TestedMutant(
        "a limit of a kind's own runs out while the run is paused",
        "Execution.stop_clock",
        "for scope in self._limits: scope.deadline = _NEVER",
        "",
        "runs/test_suspension.py::"
        "test_the_program_of_any_kind_is_paused_and_its_limits_stand_still",
    ),
    TestedMutant(
        "a run that is paused starts another program",
        "Parking.wait_going",
        "await self.execution.going.wait()",
        "",
        "runs/test_suspension.py::"
        "test_a_paused_run_waits_for_nothing_and_starts_nothing_until_it_goes_on",
    ),
    TestedMutant(
        "a pause just before a wait lets the time of the wait count",
        "Parking._park",
        "if self.parked: self.execution.stop_clock()",
        "",
        "runs/test_suspension.py::"
        "test_the_time_of_a_run_that_waits_stands_still_though_it_was_paused_in_that_moment",
    ),
    TestedMutant(
        "a run keeps its slot while its model server is away",
        "Run.without_slot",
        "if self._tools.parked() >= self.config.max_parked_asks:\n    yield\n    return",
        "yield\nreturn",
        "llm/test_away.py::test_a_run_waits_without_a_slot_until_its_server_is_back",
    ),
    TestedMutant(
        "each broken answer has a whole patience of its own",
        "RunModels._wait_server",
        "patience.waited += trio.current_time() - began",
        "",
        "llm/test_away.py::test_patience_has_an_end",
    ),
    TestedMutant(
        "a key is believed to be good while the list of models is open",
        "OpenAIEngine.probe",
        "if props is None and (refused or self._api.has_key) and (not self._let_in):\n"
        "    await self._try_key(names)",
        "",
        "llm/test_probing.py::test_a_wrong_key_is_found_though_the_list_is_open",
    ),
    TestedMutant(
        "what is known of sessions that clients ended has no bound",
        "LastingSessions._end",
        "_trim(self._ended, self._most)",
        "",
        "server/mcp/test_mcp_lasting.py::test_what_is_kept_of_sessions_is_bounded",
    ),
    TestedMutant(
        "a retry is in no trace",
        "Submitter.retry",
        "traced = request.in_trace(traceparent)",
        "traced = request",
        "cli/test_runs.py::test_a_retry_is_in_the_trace_of_who_asks_for_it",
    ),
    TestedMutant(
        "a receipt forgets that a model server still works",
        "Execution.end",
        "own = replace(end_of_proofs(self.proofs, over_at), model_slot=slot)",
        "own = end_of_proofs(self.proofs, over_at)",
        "llm/test_away.py::test_a_receipt_says_whether_the_slot_is_free",
    ),
    TestedMutant(
        "a request that was cut off before its first word costs nothing",
        "Attempt._cost",
        "if reply is None and (not self._sent):\n    return Spent(seconds=seconds)",
        "if reply is None and (not self._parts):\n    return Spent(seconds=seconds)",
        "llm/test_away.py::test_a_receipt_says_whether_the_slot_is_free",
    ),
    TestedMutant(
        "models are told of everything that was recorded",
        "is_told",
        "return fact.type in TOLD_TYPES or (steps and fact.type == STEPS)",
        "return True",
        "kinds/test_loop_model.py::test_successive_prompts_begin_alike",
    ),
    TestedMutant(
        "the history of a run stands before what never changes",
        "_with_layers",
        "if LAYERS_HERE not in message.content:\n    return _before(message, told)",
        "return _before(message, told)",
        "kinds/test_loop_model.py::test_successive_prompts_begin_alike",
    ),
    TestedMutant(
        "what a model server has packed is unpacked",
        "open_response",
        """
            if packed := _packed(response):
                raise ModelFailed(
                    f"the model server at {url} packs its answers ({packed}), though it is asked not to"
                )
        """,
        "",
        "llm/test_hostile_servers.py::test_packed_answers_are_not_unpacked",
    ),
    TestedMutant(
        "a model server counts as far as it likes",
        "llm/http:count",
        "return value if counts and 0 <= value <= LARGEST_COUNT else None",
        "return value if counts and 0 <= value else None",
        "llm/test_hostile_servers.py::test_what_is_no_count_is_not_counted",
    ),
    TestedMutant(
        "an answer counts only with the end of its stream",
        "llm/http:Api.ask",
        "tail.deadline = trio.current_time() + TAIL_SECONDS",
        "pass",
        "llm/test_hostile_servers.py::test_an_answer_whose_end_does_not_come_counts",
    ),
    TestedMutant(
        "the example of the form is an answer",
        "_refuse_examples",
        "raise Unusable(repeated[0], why, kept if form == 'blocks' else None)",
        "pass",
        "llm/test_asking.py::test_the_example_of_the_form_is_no_answer",
    ),
    TestedMutant(
        "code that stays wrong is never written anew",
        "_write_anew",
        """
        if work.retested.get(module.name) != code:
            work.retested[module.name] = code
            return await _rewrite_tests(work, number, module, problem, started)
        """,
        "return await _rewrite_tests(work, number, module, problem, started)",
        "kinds/coding/test_coding_proof.py::test_code_that_other_tests_condemn_too_is_written_anew_unseen",
    ),
    TestedMutant(
        "a full non-blocking stream is an end",
        "descriptors:PatientFile.write",
        """
        while (written := super().write(data)) is None:
            _wait(self.fileno(), select.POLLOUT)
        return written
        """,
        "return super().write(data)",
        "cli/test_shared_streams.py::test_what_does_not_fit_into_a_pipe_waits",
    ),
    TestedMutant(
        "an end that came with the start is lost by a cancel between the two",
        "ProcessTree.follow",
        """
            while self.heard:
                await self._hear(json.loads(self.heard.popleft()), on_started)
        """,
        """
            lines, self.heard = (self.heard, deque())
            for line in lines:
                await self._hear(json.loads(line), on_started)
        """,
        "processes/test_following.py::test_an_end_that_comes_with_the_start_outlives_a_cancel_between_the_two",
    ),
    TestedMutant(
        "a cancel silences whoever hears an agent",
        "open_agent",
        "talking = trio.CancelScope(shield=True)",
        "talking = trio.CancelScope()",
        "kinds/agent/test_agent_connection.py::test_a_cancel_of_all_that_is_around_is_told_too",
    ),
    TestedMutant(
        "an agent's turn is cancelled and its open permissions are not",
        "Agent.cancel_turn_nowait",
        "for wish in self._wishes.values():\n    _drop(wish, 'the turn was cancelled')",
        "",
        "kinds/agent/test_agent_connection.py::test_a_permission_that_is_open_at_a_cancel_is_answered_as_cancelled",
    ),
    TestedMutant(
        "one path within the tree allows an agent all paths",
        "_paths_match",
        "return bool(found) and (all(found) if of_all else any(found))",
        "return any(found)",
        "kinds/agent/test_agent_permissions.py::test_presets",
    ),
    TestedMutant(
        "a line that joins commands is allowed by its beginning",
        "_command_matches",
        "if act.command is None or _JOINED.search(act.command):\n    return False",
        "if act.command is None:\n    return False",
        "kinds/agent/test_agent_permissions.py::test_a_line_that_joins_commands_is_allowed_by_no_beginning",
    ),
    TestedMutant(
        "what an agent tells of an earlier life is recorded again",
        "AgentProtocol._take_notice",
        "yield Update(update, past)",
        "yield Update(update, False)",
        "kinds/agent/test_agent_connection.py::test_a_past_that_is_told_again_is_not_heard",
    ),
    TestedMutant(
        "an agent that spends too much goes on for as long as it talks",
        "AgentTalk._end_turn",
        "self._turn.deadline = trio.current_time() + _OVER_SECONDS",
        "pass",
        "kinds/agent/test_agent_runs.py"
        "::test_an_agent_that_spends_on_is_ended_though_it_never_stops_talking",
    ),
    TestedMutant(
        "a key that was meant for something else allows what an agent asks",
        "TerminalAsks._press",
        "if said is None or self._now() - self._put_at < UNREAD_SECONDS:\n    return",
        "if said is None:\n    return",
        "cli/test_terminal_asks.py::"
        "test_a_key_that_comes_before_one_can_have_read_it_answers_nothing",
    ),
    TestedMutant(
        "what is pasted answers a question by its first letter",
        "TerminalAsks._press",
        "said = question.keys.get(typed.strip('\\r\\n'))",
        "said = question.keys.get(typed.strip('\\r\\n')[:1])",
        "cli/test_terminal_asks.py::"
        "test_a_key_that_comes_before_one_can_have_read_it_answers_nothing",
    ),
    TestedMutant(
        "a question that somebody else answered still stands there",
        "TerminalAsks.over",
        "if self._put is not None and meant(self._put):\n    self._clear()",
        "",
        "cli/test_terminal_asks.py::test_one_that_is_taken_back_stands_there_no_more",
    ),
    TestedMutant(
        "a patch is mixed with a person's own changes unasked",
        "Patching.put_in",
        "mixed = self._tree.changed(flat)",
        "mixed: list[str] = []",
        "cli/test_changes.py::test_where_you_have_changed_the_same_file_you_are_asked",
    ),
    TestedMutant(
        "what is overwritten in a person's tree is lost",
        "UsersTree.keep",
        "shutil.copy2(file, copy, follow_symlinks=False)",
        "pass",
        "cli/test_changes.py::"
        "test_what_does_not_fit_is_refused_whole_and_overwritten_only_on_demand",
    ),
    TestedMutant(
        "a patch that is taken from a commit writes through a link",
        "UsersTree._within",
        "if not inside or '..' in file.parts or '.git' in map(str.lower, Path(path).parts):\n    raise Refused(path, 'lies outside of the tree')",
        "",
        "cli/test_changes.py::test_a_patch_writes_nothing_outside_of_the_tree",
    ),
    TestedMutant(
        "a box starts runs that ask for what it has not",
        "may_execute",
        "return accepted(origin, place) and fits(needs, place.labels)",
        "return accepted(origin, place)",
        "log/test_store_places.py::test_a_claim_leaves_what_does_not_fit_to_others",
    ),
    TestedMutant(
        "a box starts runs of others unasked",
        "may_execute",
        "return accepted(origin, place) and fits(needs, place.labels)",
        "return fits(needs, place.labels)",
        "log/test_store_places.py::test_a_box_takes_its_own_runs_unless_it_takes_those_of_all",
    ),
    TestedMutant(
        "a drained box starts runs",
        "log/tables/handle_claim:_candidates",
        """drained = f"{BOX_OF}{d.place.box}" in paused""",
        "drained = False",
        "log/test_store_places.py::test_a_drained_box_starts_nothing_and_others_do",
    ),
    TestedMutant(
        "a run is interrupted for one that cannot execute here",
        "startable",
        """
            return candidate.parked or (
                None not in rules.paused
                and candidate.group not in rules.paused
                and candidate.kind in rules.kinds
                and not candidate.prerequisites
                and not candidate.stashed
                and not candidate.delayed(now)
                and (not rules.drained or candidate.child)
                and may_execute(candidate.needs, candidate.origin, rules.place)
                and knows_group(candidate.group, rules.group_slots, rules.place)
            )
        """,
        """
            return candidate.parked or (
                None not in rules.paused
                and candidate.group not in rules.paused
                and candidate.kind in rules.kinds
                and not candidate.prerequisites
                and not candidate.stashed
                and not candidate.delayed(now)
                and (not rules.drained or candidate.child)
            )
        """,
        "runs/test_placement.py::test_nobody_is_interrupted_for_a_run_that_cannot_execute_here",
    ),
    TestedMutant(
        "a box starts runs of a group whose slots it does not know",
        "knows_group",
        "return group is None or not place.shared or group in group_slots",
        "return True",
        "runs/test_placement.py::test_a_box_leaves_a_group_alone_whose_slots_it_does_not_know",
    ),
    TestedMutant(
        "slots of one box are those of all",
        "RunTable._note_slots",
        """
            if event.box in ("", self.place.box):
                self.give_slots(event.group, event.slots)
        """,
        "self.give_slots(event.group, event.slots)",
        "runs/test_placement.py::test_slots_are_those_of_a_box",
    ),
    TestedMutant(
        "the group of a later configuration wins over that of the log",
        "log/tables/schedules:set_slots",
        """
            if write.first and found is not None:
                return Appended()
        """,
        "",
        "runs/test_placement.py::test_a_group_has_one_number_for_all_boxes",
    ),
    TestedMutant(
        "a drained box leaves a parent waiting for its child",
        "log/tables/handle_claim:_candidates",
        """
            for head in transaction.open.within(QUEUED_STATES):
                if (head.plan is None or head.plan.allows_start(now)) and head.open_prerequisites == 0 and (head.kind in d.kinds) and (not drained or head.parent_id is not None) and may_execute(head.needs, head.origin, d.place) and (head.group is None or group_key(head.group) not in paused) and knows_group(head.group, d.group_slots, d.place):
                    yield (rank(head), 1, head.place, head)
        """,
        """
            for head in transaction.open.within(QUEUED_STATES):
                if (head.plan is None or head.plan.allows_start(now)) and head.open_prerequisites == 0 and (head.kind in d.kinds) and not drained and may_execute(head.needs, head.origin, d.place) and (head.group is None or group_key(head.group) not in paused) and knows_group(head.group, d.group_slots, d.place):
                    yield (rank(head), 1, head.place, head)
        """,
        "runs/test_placement.py::test_what_executes_at_a_drained_box_has_its_children",
    ),
    TestedMutant(
        "a box takes a turn for what others start",
        "RunTable.look_for_work",
        "if self.claiming and self.running < self.slots and self._has_work(): self.on_work()",
        "if self.claiming and self.running < self.slots: self.on_work()",
        "runs/test_placement.py::test_no_turn_is_taken_for_what_others_start",
    ),
    TestedMutant(
        "a run leaves the box that its files are on",
        "place_run",
        """
            if place.shared and local and not anywhere:
                needs.setdefault(BOX_LABEL, home)
        """,
        "",
        "words/test_placement.py::test_what_has_files_stays_where_they_are",
    ),
    TestedMutant(
        "what may execute elsewhere has its caller's environment there",
        "Submitter._kept",
        """
            if self.place.shared and pinned_to(needs) != source.home:
                return Surroundings(None, None if given is None else given.umask)
        """,
        "",
        "runs/test_placement.py::test_a_caller_has_a_folder_here_only",
    ),
    TestedMutant(
        "a run is of the box that submits its schedule",
        "Schedules._submit",
        "source = Provenance(row.origin, row.origin) if row.origin else None",
        "source = None",
        "runs/test_placement.py::test_a_schedule_is_of_the_box_it_was_made_at",
    ),
    TestedMutant(
        "every box calls the hooks of a run",
        "Hooks._is_ours",
        "return self._box_of is None or await self._box_of(fact) in ('', self._box)",
        "return True",
        "runs/test_boxes_together.py::test_a_hook_is_called_at_the_box_that_a_run_was_submitted_at",
    ),
    TestedMutant(
        "a lease that is over is none until somebody says so",
        "standing_of",
        "if state == 'lost' or lease_left <= 0: return 'lost'",
        "if state == 'lost': return 'lost'",
        "words/test_box_standing.py::test_a_box_stands_in_one_way",
    ),
    TestedMutant(
        "what executes on a box that is silent is told as if it were heard",
        "why_unheard",
        "found = [b for b in boxes if b.name == box != here.box]",
        "found = []",
        "runs/test_why.py::test_what_executes_on_a_box_that_is_not_heard_is_told_with_that",
    ),
    TestedMutant(
        "who waits for an answer on a box that is silent is told as if it were heard",
        "explain",
        "if doubt is not None and state in EXECUTING_STATES: reasons.insert(0, Reason(*doubt))",
        "if doubt is not None and state in SLOT_STATES: reasons.insert(0, Reason(*doubt))",
        "runs/test_why.py::test_what_executes_on_a_box_that_is_not_heard_is_told_with_that",
    ),
    TestedMutant(
        "what may execute anywhere has the folder of who submits it",
        "Submitter._placed",
        "return placed_inputs(kind, request.inputs, None if elsewhere else surroundings)",
        "return placed_inputs(kind, request.inputs, surroundings)",
        "runs/test_placement.py::test_a_schedule_is_of_the_box_it_was_made_at",
    ),
    TestedMutant(
        "a box that nobody knows is waited for without a word",
        "_pinned",
        "if not boxes: return ('box', f'{alone}.')",
        "return ('box', f'{alone}.')",
        "runs/test_whereabouts.py::test_a_wait_for_a_box_is_told_in_a_sentence",
    ),
    TestedMutant(
        "how full a box is counts what others execute",
        "take_statistics",
        "return QueueStatistics(queued=queue.queued, capacity=admission.capacity, queued_by_priority={p.name: queue.queued_by_priority[p] for p in Priority}, running=table.running, slots=table.slots, parked=queue.waiting, waiting_submits=admission.waiting, late_outcomes=table.late_outcomes, open_runs=len(table.views), paused=tuple(({'group': group, 'reason': reason} for group, reason in table.paused.items())), draining=tuple(table.draining), drained_boxes=tuple(sorted(table.drained)), elsewhere=table.elsewhere, groups=_count_groups(table))",
        "return QueueStatistics(queued=queue.queued, capacity=admission.capacity, queued_by_priority={p.name: queue.queued_by_priority[p] for p in Priority}, running=queue.running, slots=table.slots, parked=queue.waiting, waiting_submits=admission.waiting, late_outcomes=table.late_outcomes, open_runs=len(table.views), paused=tuple(({'group': group, 'reason': reason} for group, reason in table.paused.items())), draining=tuple(table.draining), drained_boxes=tuple(sorted(table.drained)), elsewhere=table.elsewhere, groups=_count_groups(table))",
        "runs/test_boxes_together.py::test_how_full_a_box_is_counts_its_own_slots",
    ),
    TestedMutant(
        "a log that was moved is opened as if it were here",
        "log/sqlite/database:_open_into",
        """
            if migration is not None:
                check_not_moved(writing, path)
        """,
        "",
        "cli/test_migrate.py::test_a_log_moves_whole_and_goes_on_there",
    ),
    TestedMutant(
        "an environment of a log that was moved gets a key that is had",
        "WholeSchema.insert",
        """
            if table == 'environments':
                self.execute(_NEXT_KEY)
        """,
        "",
        "cli/test_migrate.py::test_a_log_moves_whole_and_goes_on_there",
    ),
    TestedMutant(
        "a log that was moved is nobody's to run",
        "cli/migrate:_move",
        "settle(target, box_of(config))",
        "pass",
        "cli/test_migrate.py::test_a_log_moves_whole_and_goes_on_there",
    ),
    TestedMutant(
        "a copy is taken that is not what was copied",
        "copy_whole",
        "if digest_of(source, table, order) != digest_of(target, table, order): raise StartRefused(f'the rows of"
        " {table} are not what they were once they are read back; nothing was moved')",
        "digest_of(source, table, order), digest_of(target, table, order)",
        "cli/test_migrate.py::test_a_copy_that_differs_is_not_taken",
    ),
    TestedMutant(
        "a log is filled that boxes have",
        "fill_whole_schema",
        "refuse_others(db, where)",
        "pass",
        "log/test_whole_schema.py::"
        "test_only_an_empty_log_that_no_daemon_has_takes_an_import",
    ),
    TestedMutant(
        "a step that older releases cannot go on beside is made under them",
        "log/postgresql/schema:_migrate",
        """
            if step.breaks and version > 1:
                _refuse_beside_older(db, schema, version + 1, own)
        """,
        "",
        "log/test_mixed_versions.py::"
        "test_a_breaking_step_waits_until_no_older_box_has_a_lease",
    ),
    TestedMutant(
        "columns that a newer release added keep the older one out",
        "log/postgresql/schema:prepare",
        "needed, found = versions_of(db)",
        "needed = found = versions_of(db)[1]",
        "log/test_mixed_versions.py::"
        "test_columns_are_added_under_the_daemons_of_older_releases",
    ),
    TestedMutant(
        "a fact with a field that a newer release added is none that is known",
        "words/events:_known_part",
        "return {name: value for name, value in data.items() if name not in newer}",
        "return None",
        "words/test_events.py::test_a_field_that_a_newer_release_added_is_passed_over",
    ),
    TestedMutant(
        "a run whose first fact is not understood has no beginning",
        "RunView.apply",
        """
            if fact.type == 'run.queued':
                self.created_at = fact.at
        """,
        "",
        "log/test_projections.py::"
        "test_a_run_whose_first_fact_is_not_understood_waits_since_then",
    ),
    TestedMutant(
        "a retry that asks for what its box has not waits for ever",
        "Submitter._again",
        """
            if self.place.shared and (why := stranded(needs, wanted.needs, self.place)):
                raise Refused('needs', why)
        """,
        "",
        "runs/test_placement.py::test_a_retry_that_could_start_nowhere_is_refused",
    ),
    TestedMutant(
        "a retry that may execute anywhere stays where it was",
        "words/placement:moved",
        "return {**(kept if anywhere else needs), **asked}",
        "return {**needs, **asked}",
        "runs/test_placement.py::test_a_retry_may_be_sent_elsewhere",
    ),
    TestedMutant(
        "a box is forgotten that has a lease",
        "log/tables/boxes:forget_box",
        "state, until = found",
        "state, until = ('lost', found[1])",
        "runs/test_forgotten_boxes.py::"
        "test_a_box_that_is_gone_is_told_of_until_it_is_forgotten",
    ),
    TestedMutant(
        "a box is forgotten that runs wait for",
        "log/tables/boxes:_left_to",
        "return [run_id for run_id, needs, host, life in rows if life is not None and host == box or (needs is not"
        " None and pinned_to(from_json(needs)) == box)]",
        "return []",
        "runs/test_forgotten_boxes.py::"
        "test_a_box_that_is_gone_is_told_of_until_it_is_forgotten",
    ),
    TestedMutant(
        "a box that is forgotten leaves its drain at the others",
        "RunTable._fold_own",
        """
            self.drained.discard(event.box)
            self.box_slots.pop(event.box, None)
        """,
        "",
        "runs/test_forgotten_boxes.py::"
        "test_a_box_that_is_gone_is_told_of_until_it_is_forgotten",
    ),
    TestedMutant(
        "what a pooler passed over is not missed",
        "log/postgresql/ownership:check_server",
        "lost = db.lost_settings()",
        "lost = []",
        "log/test_faulty_servers.py::test_a_pooler_before_the_server_is_found_out",
    ),
    TestedMutant(
        "a box that has not heard of a drain takes a run in",
        "log/tables/handle_submit:enqueue",
        "check_drained(transaction, spec.group)",
        "pass",
        "runs/test_said_to_one_box.py::"
        "test_a_box_that_has_not_heard_of_a_drain_takes_nothing_in",
    ),
    TestedMutant(
        "what another drained is not read",
        "log/tables/catch_up:_read",
        "told.paused = told.paused or bool(paused)",
        "pass",
        "log/test_catch_up.py::test_what_another_was_told_to_drain_is_drained_here",
    ),
    TestedMutant(
        "any daemon that starts ends everybody's drain",
        "QueueControl.open_again",
        "held = self.table.draining.items()",
        "held = [(group, '') for group in self.table.draining]",
        "runs/test_said_to_one_box.py::test_a_drain_stands_where_several_share_the_log",
    ),
    TestedMutant(
        "a daemon that has its log alone refuses runs for ever",
        "open_core",
        "await core.queue.open_again()",
        "",
        "runs/test_said_to_one_box.py::"
        "test_a_daemon_that_has_its_log_alone_takes_runs_again_when_it_starts",
    ),
    TestedMutant(
        "a dismissal is forgotten by the next start",
        "RunTable.begin_with",
        "self.dismissed.add(opening.dismissed)",
        "",
        "runs/test_said_to_one_box.py::"
        "test_a_failure_that_was_seen_at_one_box_is_so_at_all",
    ),
    TestedMutant(
        "who took a forgotten run's id has its dismissal too",
        "RunTable.fold",
        "self.dismissed.discard(fact.run_id)",
        "",
        "runs/test_said_to_one_box.py::test_another_run_of_a_forgotten_ones_id_is_news",
    ),
    TestedMutant(
        "texts come as the role would have them",
        "log/postgresql/engine:_conninfo",
        "fixed = {'client_encoding': 'UTF8', 'options': options}",
        "fixed = {'options': options}",
        "log/test_odd_servers.py::test_texts_are_what_they_are_whatever_encoding_a_session_would_have",
    ),
    TestedMutant(
        "a commit is left to the server's memory since somebody turned the wait off",
        "PostgresDb.lock",
        """
            if durable == 'off':
                self.execute('SET LOCAL synchronous_commit = on')
        """,
        "",
        "log/test_odd_servers.py::test_a_commit_is_on_the_disk_although_somebody_has_turned_that_off_since",
    ),
    TestedMutant(
        "a session that may not write is kept",
        "PostgresStore._translate",
        """
            if meaning is Meaning.SESSION or code == _READ_ONLY:
                db.close()
        """,
        "",
        "log/test_odd_servers.py::test_a_server_that_took_no_writes_for_a_while_takes_them_again",
    ),
    TestedMutant(
        "what may not be looked into is taken for gone",
        "PostgresDb.may_look",
        "return found is None or bool(found[0])",
        "return True",
        "log/test_odd_servers.py::test_rights_that_are_taken_away_are_waited_for",
    ),
    TestedMutant(
        "what is gone is waited for",
        "PostgresDb.may_look",
        "return found is None or bool(found[0])",
        "return False",
        "log/test_odd_servers.py::test_a_schema_that_is_gone_is_not_waited_for",
    ),
    TestedMutant(
        "a run whose terminal is on another box goes on with nobody at it",
        "run_attached.work",
        """
            if reply.get('created') and 'box' in error.facts:
                _cancel(client, run_id, 'its terminal is on another box')
        """,
        "pass",
        "service/test_boxes.py::test_a_run_whose_terminal_cannot_be_had_is_not_left_behind",
    ),
    TestedMutant(
        "a code that nobody foresaw ends the daemon",
        "PostgresStore._translate",
        "unavailable = StoreUnavailable if tried else StoreAway",
        """
            if meaning is Meaning.UNKNOWN:
                return error
            unavailable = StoreUnavailable if tried else StoreAway
        """,
        "log/test_sqlstates.py::test_no_code_is_unforeseen_where_something_is_read",
    ),
    TestedMutant(
        "a code that is not listed means nothing whatever its class",
        "log/postgresql/sqlstates:row_of",
        "return MEANINGS.get(code) or MEANINGS.get(code[:2]) or _UNKNOWN",
        "return MEANINGS.get(code) or _UNKNOWN",
        "log/test_sqlstates.py::test_a_code_that_is_listed_nowhere_means_what_its_class_does",
    ),
    TestedMutant(
        "what a server adds of its rows is told",
        "log/postgresql/server_words:tell",
        "words = error.diag.message_primary or str(error)",
        "words = str(error)",
        "log/test_sqlstates.py::test_no_code_is_unforeseen_where_a_fact_is_written",
    ),
    TestedMutant(
        "a renewal that is refused is a write's fault",
        "PostgresStore._translate",
        """
            if meaning is Meaning.REFUSED and given:
                return Refused("value", f"the database never takes it: {why}", code=code)
        """,
        """
            if meaning is Meaning.REFUSED:
                return Refused("value", f"the database never takes it: {why}", code=code)
        """,
        "log/test_sqlstates.py::test_no_code_is_unforeseen_where_a_lease_is_renewed",
    ),
    TestedMutant(
        "the end of a run that is refused is dropped",
        "Committer._commit_alone",
        """
            if isinstance(write, _NEVER_REFUSED):
                raise waited_for(error) from error
        """,
        "",
        "log/test_refused_writes.py::test_the_end_of_a_run_is_recorded_once_it_is_taken",
    ),
    TestedMutant(
        "a commit of nothing that is refused is one that was done",
        "Committer._commit_or_split",
        """
            if not writes and isinstance(error, Refused):
                raise waited_for(error) from error
        """,
        "",
        "log/test_refused_writes.py::test_a_renewal_that_is_refused_is_told_of",
    ),
    TestedMutant(
        "what was taken of a split batch is done again",
        "Recorder._write_batch",
        """
            if results:
                done = entries[:len(results)]
                await self._settle(done, None, results)
                self._wake(done)
        """,
        "",
        "log/test_recorder.py::test_what_a_store_did_not_take_of_a_split_batch_waits_for_it",
    ),
    TestedMutant(
        "what others wrote is not read, and nobody is told",
        "OtherWriters._telling_behind",
        "self.behind = str(error)",
        "pass",
        "log/test_refused_writes.py::test_a_box_that_cannot_read_what_others_wrote_is_told_of",
    ),
    TestedMutant(
        "a session that was ended refuses who comes next",
        "PostgresStore._begin",
        "if not lost or self._db.overdue: raise",
        "raise",
        "log/test_ended_sessions.py::test_a_session_that_was_ended_meanwhile_refuses_nobody",
    ),
    TestedMutant(
        "bounds of all sessions bind those of a daemon",
        "PostgresDb._begin_session",
        "if lifting := _lift_bounds(made.info.server_version): made.execute(lifting)",
        "",
        "log/test_ended_sessions.py::test_bounds_of_all_sessions_do_not_bind_those_of_a_daemon",
    ),
    TestedMutant(
        "nobody is told that writes are not brought to the disk any more",
        "PostgresSharing.forsaken",
        "self._note_fsync(fsync)",
        "",
        "log/test_ended_sessions.py::test_writes_that_are_not_brought_to_the_disk_any_more_are_told",
    ),
)
