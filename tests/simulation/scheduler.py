"""
Threads that run one at a time, in an order that the dice choose: the same seed, the same interleaving.

Every simulated thread is a real one that holds a baton while it runs. It hands the baton on where it pauses, and at
those places only, so whatever lies between two pauses happens at once. Time is simulated too: it passes with every
step, and leaps to the next sleeper when nobody else can run.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import ClassVar

SECOND = 1_000_000
#: What one step takes, in µs: enough that a limit by the hour can be crossed in a run.
STEP_US = 2_000


class Killed(BaseException):
    """This thread's process is dead, or the simulation is over: nothing after the pause it stands at happens."""


class Stuck(AssertionError):
    """Nobody can run and nobody sleeps, or the run does not end: a deadlock, a lost wake-up or an endless retry."""


class Process:
    """What dies as one: its threads, all of them in the same instant. `skew` is how far its clock is off, in µs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.skew = 0


class Task:
    """One simulated thread: what it waits for, and the real one that runs it, once it has begun."""

    __slots__ = ("is_daemon", "is_over", "name", "process", "run", "until", "wakes_at", "weight", "worker")

    def __init__(self, name: str, run: Callable[[], object], process: Process, *, is_daemon: bool) -> None:
        self.name = name
        self.run = run
        self.process = process
        self.is_daemon = is_daemon
        self.until: Callable[[], bool] | None = None
        self.wakes_at: int | None = None
        self.is_over = False
        self.weight = 1.0
        self.worker: _Worker | None = None

    def can_run(self, now: int) -> bool:
        if self.process.is_dead or self.until is None or self.until():
            return True
        return self.wakes_at is not None and self.wakes_at <= now


class Scheduler:
    """Runs tasks until all that are no daemons have ended; `now` is the simulated time in µs since the run began."""

    def __init__(self, dice: random.Random, steps_max: int) -> None:
        self.dice = dice
        self.now = 0
        self.steps = 0
        self.failure: BaseException | None = None
        self._steps_max = steps_max
        #: How often the one who runs goes on running: some bugs need many switches, others a long breath.
        self._breath = dice.choice((0.0, 0.5, 0.9))
        self._is_fair = dice.random() < 0.5
        self._tasks: list[Task] = []
        self._running: Task | None = None
        self.is_over = False
        self._ended = threading.Lock()
        self._ended.acquire()

    @property
    def running(self) -> Task:
        """The task that runs now."""
        assert self._running is not None
        return self._running

    def spawn(self, name: str, run: Callable[[], object], process: Process, *, is_daemon: bool = False) -> Task:
        """Add a thread; it runs when the dice say so."""
        task = Task(name, run, process, is_daemon=is_daemon)
        if not self._is_fair:
            task.weight = self.dice.choice((1.0, 0.3, 0.03))
        self._tasks.append(task)
        return task

    def run(self) -> None:
        """Run until every task that is no daemon has ended; raise what the first of them raised."""
        self._hand_on()
        self._ended.acquire()
        self.is_over = True
        for task in self._tasks:
            if task.worker is not None and not task.is_over:
                task.worker.baton.release()
                self._ended.acquire()
        if self.failure is not None:
            raise self.failure

    def pause(self, until: Callable[[], bool] | None = None, timeout: float | None = None) -> None:
        """Let others run; go on when `until` holds (at once, without) or so many simulated seconds have passed."""
        me = self.running
        self._check_alive(me)
        me.until = until
        me.wakes_at = None if timeout is None else self.now + round(timeout * SECOND)
        self._hand_on(me)
        self._check_alive(me)

    def sleep(self, seconds: float) -> None:
        """Pause for a simulated time."""
        self.pause(until=_never, timeout=seconds)

    def monotonic(self) -> float:
        """The simulated time in seconds, for what measures timeouts."""
        return self.now / SECOND

    def kill(self, process: Process) -> None:
        """End a process: each of its threads raises Killed where it stands."""
        process.is_dead = True

    @contextmanager
    def inside(self, process: Process):
        """Run as a thread of this process: a client's call dies with whom it called."""
        me = self.running
        before, me.process = me.process, process
        try:
            yield
        finally:
            me.process = before

    def _check_alive(self, me: Task) -> None:
        if self.is_over or me.process.is_dead:
            raise Killed

    def _hand_on(self, me: Task | None = None) -> None:
        """Choose who runs next, and wait for the baton unless it is this very thread."""
        try:
            chosen = self._choose(me)
        except Stuck as stuck:
            self.failure = self.failure or stuck
            chosen = None
        if chosen is me and me is not None:
            return
        self._running = chosen
        if chosen is None:
            self._ended.release()
        else:
            if chosen.worker is None:
                chosen.worker = _Worker.for_task(lambda: self._work(chosen))
            chosen.worker.baton.release()
        if me is not None and not me.is_over:
            assert me.worker is not None
            me.worker.baton.acquire()

    def _choose(self, me: Task | None) -> Task | None:
        self.steps += 1
        self.now += STEP_US
        if self.failure is not None or all(task.is_over or task.is_daemon for task in self._tasks):
            return None
        if self.steps > self._steps_max:
            raise Stuck(f"not at its end after {self.steps} steps; {self._told()}")
        if me is not None and not me.is_over and self.dice.random() < self._breath and me.can_run(self.now):
            return me
        able = [task for task in self._tasks if not task.is_over and task.can_run(self.now)]
        if not able:
            sleepers = [task for task in self._tasks if not task.is_over and task.wakes_at is not None]
            if not sleepers:
                raise Stuck(f"nobody can run; {self._told()}")
            first = min(sleepers, key=lambda task: task.wakes_at)
            self.now = first.wakes_at
            return first
        if self._is_fair:
            return able[int(self.dice.random() * len(able))]
        return self.dice.choices(able, [task.weight for task in able])[0]

    def _told(self) -> str:
        waiting = [task.name for task in self._tasks if not task.is_over and not task.is_daemon]
        return f"waiting: {', '.join(waiting)}"

    def _work(self, task: Task) -> None:
        try:
            self._check_alive(task)
            task.run()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  whatever it is, the run has failed
            self.failure = self.failure or error
        task.is_over = True
        if self.is_over:
            self._ended.release()
        else:
            self._hand_on(task)


_NAME = "simulated"


def is_simulated() -> bool:
    """Say whether the caller runs in a simulated thread."""
    return threading.current_thread().name == _NAME


class _Worker:
    """A real thread that runs one task after the other, in one run after the other: to start one takes long."""

    _idle: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        self.work: Callable[[], None]
        self.baton = threading.Lock()
        self.baton.acquire()
        threading.Thread(target=self._run, name=_NAME, daemon=True).start()

    @classmethod
    def for_task(cls, work: Callable[[], None]) -> _Worker:
        """Return one with nothing to do, which begins when it gets its baton."""
        worker = cls._idle.pop() if cls._idle else cls()
        worker.work = work
        return worker

    def _run(self) -> None:
        while True:
            self.baton.acquire()
            self.work()
            self._idle.append(self)


def _never() -> bool:
    return False


class Threading:
    """What a module finds under the name `threading` while its threads are simulated."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def Thread(self, *, target: Callable[..., object], name: str, args: tuple = (), daemon: bool = True):  # noqa: N802
        return _Thread(self._scheduler, lambda: target(*args), name)

    def Condition(self) -> _Condition:  # noqa: N802
        return _Condition(self._scheduler)

    Lock = RLock = Condition


class _Thread:
    def __init__(self, scheduler: Scheduler, run: Callable[[], object], name: str) -> None:
        self._scheduler = scheduler
        self._run = run
        self.name = name
        self._task: Task | None = None

    def start(self) -> None:
        process = self._scheduler.running.process
        self._task = self._scheduler.spawn(f"{process.name}/{self.name}", self._run, process, is_daemon=True)

    def join(self, timeout: float | None = None) -> None:
        task = self._task
        assert task is not None
        self._scheduler.pause(lambda: task.is_over, timeout)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.is_over


class _Condition:
    """A lock that is always free, since nobody else runs between two pauses, and its waits."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiters: list[list[bool]] = []

    def __enter__(self) -> bool:
        self._scheduler.pause()
        return True

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, timeout: float | None = None) -> bool:
        told = [False]
        self._waiters.append(told)
        self._scheduler.pause(lambda: told[0], timeout)
        return told[0]

    def wait_for(self, predicate: Callable[[], object], timeout: float | None = None) -> object:
        ends_at = None if timeout is None else self._scheduler.monotonic() + timeout
        while not (met := predicate()):
            left = None if ends_at is None else ends_at - self._scheduler.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return met

    def notify(self, n: int = 1) -> None:
        for told in self._waiters[:n]:
            told[0] = True
        del self._waiters[:n]

    def notify_all(self) -> None:
        self.notify(len(self._waiters))
