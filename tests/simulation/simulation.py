"""
One run: real engines in simulated processes on one server in memory, clients that never give up easily, and bad luck.

Everything is drawn from the seed. Clients send again, under the same id, whatever came to no clear answer; processes
die and come back; connections break; clocks step; the operator applies catalogs. At the end, the auditor looks at what
is stored and at what everybody was told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from random import Random

import laurels
from laurels.core.catalog import Catalog
from laurels.core.changes import Outcome
from laurels.core.errors import Conflict, InvalidInput, LaurelsError, Unknown
from laurels.core.periods import to_datetime
from laurels.leaderboards.projector import Projector
from laurels.store.tail import Tail
from tests.simulation import workload
from tests.simulation.memory import DirectStore, Faults, MemoryStore, Server
from tests.simulation.scheduler import Killed, Process, Scheduler
from tests.simulation.stand_ins import parsed_once, simulated_threads
from tests.simulation.workload import HOUR, START, Call

STEPS_MAX = 60_000
#: What a client takes for an answer. No id is used twice, so `request_id_reused` is none.
REFUSALS = (Conflict, InvalidInput, Unknown)
#: What says something of the process that was asked: it is stopping, or its clock is far behind.
ASK_ELSEWHERE = {"engine_closed", "time_in_future"}

Key = tuple[str, str]


@dataclass
class Answer:
    """What one sender was told of one request, and at which step: an outcome, or the code of a refusal."""

    key: Key
    step: int
    told: Outcome | str


@dataclass
class Told:
    """
    What the clients and the operator know.

    When each request was first sent, every answer, what they stopped asking about, what was sent together or not at
    all, and what one sender's one call applied in which order. `catalogs` are revisions with the step of their answer.
    """

    requests: dict[Key, object] = field(default_factory=dict)
    sent: dict[Key, int] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    unknown: set[Key] = field(default_factory=set)
    together: list[list[Key]] = field(default_factory=list)
    in_order: list[list[Key]] = field(default_factory=list)
    catalogs: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Slot:
    """A place for a process: whoever runs there now, if anybody does."""

    name: str
    process: Process | None = None
    engine: laurels.Engine | None = None


class _RolledBack(Exception):
    """The application thought better of it."""


class Simulation:
    """One run, drawn from a seed: `run` plays it to its end, and raises what went wrong on the way."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = Random(seed)
        self.scheduler = Scheduler(dice, STEPS_MAX)
        self.server = Server(self.scheduler.pause, dice, one_writer=dice.random() < 0.15)
        self.told = Told()
        self.kills = 0
        self._world = Process("world")
        self._faults = Faults(*dice.choice(((0, 0), (0, 0.1), (0.005, 0.05), (0.02, 0.2))))
        self._slots = [Slot(f"process {number}") for number in range(dice.choice((1, 2, 2, 3)))]
        self._users = [f"u{number}" for number in range(dice.choice((2, 3, 6)))]
        self.has_boards = dice.random() < 0.2

    def run(self) -> None:
        """Play the run to its end."""
        self._apply_first_catalog()
        for slot in self._slots:
            self._spawn(slot.name, lambda slot=slot: self._keep_running(slot), is_daemon=True)
        for name, calls in self._plans().items():
            self._spawn(name, lambda calls=calls: self._send_all(calls))
        for _ in range(self.dice.choice((0, 1, 1, 2))):
            self._spawn("bad luck", self._have_bad_luck, is_daemon=True)
        self._spawn("operator", self._apply_catalogs, is_daemon=True)
        if self.has_boards:
            for _ in range(self.dice.choice((1, 2))):
                self._spawn("projector", self._keep_projecting, is_daemon=True)
        with simulated_threads(self.scheduler, self.dice):
            self.scheduler.run()
        for transaction in list(self.server.open):
            self.server.notice_death(transaction.process)
        if self.has_boards:
            self.server.pause = lambda *_: None
            while self._projector().step(self.server.last_seq):
                pass

    def _spawn(self, name: str, run: Callable[[], object], *, is_daemon: bool = False) -> None:
        self.scheduler.spawn(name, run, self._world, is_daemon=is_daemon)

    # --- Clients ------------------------------------------------------------------------------------------------------

    def _plans(self) -> dict[str, list[Call]]:
        dice = self.dice
        plans = {
            f"client {number}": workload.plan(dice, f"c{number}", self._users, dice.choice((2, 4, 7)))
            for number in range(dice.choice((1, 2, 4, 6)))
        }
        everything = [call for calls in plans.values() for call in calls]
        self.told.together += [
            [(request.user, request.id) for request in call.requests] for call in everything if call.together
        ]
        # Some send what another sends as well, at about the same time.
        plans["echo"] = [call for call in everything if dice.random() < 0.2]
        first, *_ = plans
        plans[first][:0] = workload.opening(self._users)
        return plans

    def _send_all(self, calls: list[Call]) -> None:
        for call in calls:
            self._send(call)
            self.scheduler.sleep(self.dice.choice((0, 0, 0.01, 0.3)))

    def _send(self, call: Call) -> None:
        """Send until there is a clear answer to everything, or patience ends."""
        pending = list(call.requests)
        for request in pending:
            key = (request.user, request.id)
            self.told.requests[key] = request
            self.told.sent.setdefault(key, self.scheduler.steps)
        while pending:
            slot = self._somebody()
            assert slot.process is not None
            assert slot.engine is not None
            try:
                with self.scheduler.inside(slot.process):
                    if call.together and self.dice.random() < 0.3:
                        answers = self._ask_within(slot.engine, pending, slot.process)
                    else:
                        answers = self._ask(slot.engine, pending, together=call.together)
            except Killed:
                if self.scheduler.is_over:
                    raise
                answers = [None] * len(pending)
            if pending == call.requests:
                self.told.in_order.append(_applied(pending, answers))
            pending = [
                request
                for request, answer in zip(pending, answers, strict=True)
                if not self._note((request.user, request.id), answer)
            ]
            if pending and self.dice.random() < 0.05:
                self.told.unknown.update((request.user, request.id) for request in pending)
                return
            self.scheduler.sleep(self.dice.choice((0, 0.01, 0.2)))

    def _ask(self, engine: laurels.Engine, requests: list, *, together: bool) -> list[Outcome | LaurelsError]:
        if together:
            try:
                return engine.record(requests)
            except LaurelsError as error:
                return [error] * len(requests)
        return [self._heard(future) for future in [_submitted(engine, request) for request in requests]]

    def _ask_within(
        self, engine: laurels.Engine, requests: list, process: Process
    ) -> Sequence[Outcome | LaurelsError | None]:
        """Ask within a transaction of the application's own, which commits or comes to nothing."""
        try:
            with MemoryStore(self.server, process).write() as transaction:
                outcomes = engine.record(requests, connection=transaction)
                self._think_better()
        except _RolledBack:
            return [None] * len(requests)
        except LaurelsError as error:
            return [error] * len(requests)
        return outcomes

    def _think_better(self) -> None:
        if self.dice.random() < 0.3:
            raise _RolledBack

    def _heard(self, future: Future) -> Outcome | LaurelsError | None:
        """Wait for an answer; now and then a caller gives up waiting instead, as one with a timeout does."""
        if self.dice.random() < 0.02:
            self.scheduler.pause()
            if future.cancel():
                return None
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, LaurelsError):
            return error
        raise error

    def _note(self, key: Key, answer: Outcome | LaurelsError | None) -> bool:
        """Note an answer; False for one after which a sender asks again."""
        if answer is None:
            return False
        if isinstance(answer, LaurelsError):
            if getattr(answer, "retryable", False) or answer.code in ASK_ELSEWHERE:
                return False
            if not isinstance(answer, REFUSALS) or answer.code == "request_id_reused":
                raise answer
            self.told.answers.append(Answer(key, self.scheduler.steps, answer.code))
            return True
        query = "SELECT 1 FROM journal WHERE user_id = ? AND actor_id = ? AND request_id = ?"
        assert self.server.query(query, (key[0], *key)), f"{key} was answered before it was committed"
        self.told.answers.append(Answer(key, self.scheduler.steps, answer))
        return True

    def _somebody(self) -> Slot:
        self.scheduler.pause(lambda: any(slot.engine is not None for slot in self._slots))
        return self.dice.choice([slot for slot in self._slots if slot.engine is not None])

    # --- Processes ----------------------------------------------------------------------------------------------------

    def _keep_running(self, slot: Slot) -> None:
        """Start a process, and another one whenever it has died."""
        while True:
            slot.process = process = Process(slot.name)
            process.skew = self.dice.choice((0, 0, HOUR, -HOUR))
            try:
                with self.scheduler.inside(process):
                    slot.engine = self._start(process)
                self.scheduler.pause(lambda process=process: process.is_dead)
            except Killed:
                if self.scheduler.is_over:
                    raise
            slot.engine = None
            self.scheduler.sleep(0.1)

    def _start(self, process: Process) -> laurels.Engine:
        def clock():
            return to_datetime(START + self.scheduler.now + process.skew)

        return laurels.Engine(MemoryStore(self.server, process), clock=clock, patience_s=5.0)

    def _have_bad_luck(self) -> None:
        while True:
            self.scheduler.sleep(self.dice.choice((0.02, 0.1, 0.5)))
            slot = self.dice.choice(self._slots)
            if slot.process is None or slot.engine is None:
                continue
            match self.dice.choice(("kill", "kill", "stop", "clock", "network", "crash")):
                case "kill":
                    self._kill(slot)
                case "stop":
                    self._stop(slot)
                case "clock":
                    slot.process.skew += self.dice.choice((HOUR, -HOUR, -2 * HOUR))
                case "crash":
                    self.server.crash()
                case "network":
                    self.server.faults = self._faults
                    self.scheduler.sleep(0.3)
                    self.server.faults = Faults()

    def _kill(self, slot: Slot) -> None:
        process = slot.process
        assert process is not None
        self.kills += 1
        slot.engine = None
        self.scheduler.kill(process)
        self.scheduler.sleep(self.dice.choice((0, 0.05, 1.0)))
        self.server.notice_death(process)

    def _stop(self, slot: Slot) -> None:
        engine, process = slot.engine, slot.process
        assert engine is not None
        assert process is not None
        slot.engine = None
        with self.scheduler.inside(process):
            try:
                engine.close()
            except Killed:
                if self.scheduler.is_over:
                    raise
        self.scheduler.kill(process)
        self.server.notice_death(process)

    # --- Catalogs -----------------------------------------------------------------------------------------------------

    def _apply_first_catalog(self) -> None:
        catalog = workload.revision(1)
        row = (1, catalog.name, catalog.source, START)
        self.server.database.execute("INSERT INTO catalog_revisions VALUES (?, ?, ?, ?)", row)

    def _apply_catalogs(self) -> None:
        for number in range(2, workload.REVISIONS + 1):
            self.scheduler.sleep(self.dice.choice((0.05, 0.3, 30.0)))
            slot = self._somebody()
            assert slot.process is not None
            assert slot.engine is not None
            try:
                with self.scheduler.inside(slot.process):
                    applied = slot.engine.apply_catalog(workload.revision(number))
                self.told.catalogs.append((self.scheduler.steps, applied))
            except Killed:
                if self.scheduler.is_over:
                    raise
            except LaurelsError as error:
                assert getattr(error, "retryable", False), error  # noqa: PT017

    # --- Boards -------------------------------------------------------------------------------------------------------

    def _keep_projecting(self) -> None:
        """Bring the boards forward behind the journal, without a lease: two of these may be at it at once."""
        projector, tail = self._projector(), Tail()
        store = MemoryStore(self.server, self._world)
        while True:
            self.scheduler.sleep(self.dice.choice((0.01, 0.05, 0.3)))
            with store.read() as connection:
                settled = tail.settled(connection)
            self.scheduler.pause()
            while projector.step(settled):
                self.scheduler.pause()

    def _projector(self) -> Projector:
        def catalog() -> Catalog:
            ((number, source),) = self.server.query("SELECT max(revision), source FROM catalog_revisions")
            return replace(parsed_once(source, format="json"), revision=number)

        return Projector(DirectStore(self.server), catalog)


def _submitted(engine: laurels.Engine, request: object) -> Future:
    """Return the future of a request, also where it is refused at the door."""
    try:
        return engine.submit(request)
    except LaurelsError as error:
        refused: Future = Future()
        refused.set_exception(error)
        return refused


def _applied(requests: list, answers: list) -> list[Key]:
    """Return those of the requests that this very call applied."""
    return [
        (request.user, request.id)
        for request, answer in zip(requests, answers, strict=True)
        if isinstance(answer, Outcome) and answer.status == "applied"
    ]
