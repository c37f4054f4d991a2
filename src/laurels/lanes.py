"""
Group commit: concurrent callers share a transaction.

A lane is one thread. While it commits a batch, requests gather; then it takes them all. No timer is involved, so a lone
request is not delayed, and hundreds share one commit. A batch is made of units; a unit is what one caller handed over
together, recorded together or not at all. What one unit asks in vain fails that unit alone. Where others hold a
unit's users, the unit waits for the next batch, and so does whatever comes after it for the same users.
"""

from __future__ import annotations

import gc
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from laurels.core.errors import LaurelsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from laurels.core.changes import Outcome
    from laurels.core.requests import Request

    Record = Callable[[Sequence["Unit"], bool], Sequence[list[Outcome] | LaurelsError | None]]

BATCH_REQUESTS_MAX = 500
WAITING_REQUESTS_MAX = 20_000
#: So many batches may leave a unit for the next before its users are waited for.
ROUNDS_MAX = 3
WAITS_DOUBLED_MAX = 6


@dataclass(slots=True, eq=False)
class Unit:
    """
    Requests of one caller, recorded together or not at all, and where their outcomes go: a list, or for one the one.

    `rounds` counts the batches that left it for the next, because somebody else held its users, `since` from when on.
    `caller` is what an observer wants to know it by, `actor` who does it, for the audit log.
    """

    requests: Sequence[Request]
    is_one: bool = False
    future: Future[Any] = field(default_factory=Future)
    rounds: int = 0
    waits: int = 0
    since: float = 0.0
    caller: object = None
    actor: str = ""

    def answer(self, outcomes: list[Outcome]) -> None:
        """Hand the outcomes over."""
        self.future.set_result(outcomes[0] if self.is_one else outcomes)


class _HeldOff:
    """The process's garbage collector while batches are being decided: switched on again by the last, if it was on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if self._batches == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._batches += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._batches -= 1
            if self._batches == 0 and self._was_on:
                gc.enable()


#: A batch's many young objects hold no cycles, and looking for some takes as long as deciding. The collector is the
#: process's, so this is too.
collection_held_off = _HeldOff()


class Lane:
    """
    A thread that records whatever has gathered. `put` waits while too much does.

    `record` takes units into one transaction and returns for each its outcomes, the error that refused it, or None when
    others hold its users; it raises when the whole batch came to nothing. Told to be patient, it waits a moment for the
    users of the first unit. A unit whose users are not free within `patience_s` is refused as `user_busy`.
    """

    def __init__(
        self, record: Record, name: str, *, patience_s: float, waiting_max: int = WAITING_REQUESTS_MAX
    ) -> None:
        self._record = record
        self._patience_s = patience_s
        self._waiting_max = waiting_max
        self._units: deque[Unit] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Return how many requests were handed over and are in no batch yet."""
        return self._waiting

    def put(self, unit: Unit, *, wait: bool = True) -> None:
        """
        Hand a unit over; where too much waits, wait too.

        Raises Unavailable `overloaded` instead of waiting, if told not to, and `engine_closed` after `close`.
        """
        with self._changed:
            while wait and self._waiting >= self._waiting_max and not self._closed:
                self._changed.wait()
            self.check()
            self._units.append(unit)
            self._waiting += len(unit.requests)
            if len(self._units) == 1:
                self._changed.notify_all()

    def check(self) -> None:
        """Raise Unavailable, `overloaded` or `engine_closed`, where `put` would not take a unit at once."""
        if self._closed:
            raise Unavailable("engine_closed", "The engine is closed; open it again.")
        if self._waiting >= self._waiting_max:
            raise Unavailable(
                "overloaded", "Too much is waiting to be recorded; try again in a moment.", retryable=True
            )

    def close(self) -> None:
        """Record what was handed over, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while units := self._take():
            # Who was left for later too often is waited for; so is who was left when nothing else is to be done.
            patient = units[0].rounds > ROUNDS_MAX or units[-1].rounds != 0
            left = self._work(units, patient=patient)
            if left:
                self._leave_for_later(left, waited=patient and left[0] is units[0])

    def _take(self) -> list[Unit]:
        """
        Return what has gathered, at least one unit and not many more requests than a batch has.

        Empty when closed.
        """
        with self._changed:
            taken: list[Unit] = []
            while not taken:
                while not self._units and not self._closed:
                    self._changed.wait()
                if not self._units:
                    break
                was_full = self._waiting >= self._waiting_max
                taken = self._pop_batch()
                if was_full:
                    self._changed.notify_all()
            return taken

    def _pop_batch(self) -> list[Unit]:
        """Return a batch from the front, without those that were cancelled: from here on nobody can cancel one."""
        taken: list[Unit] = []
        size = 0
        while self._units and (not size or size + len(self._units[0].requests) <= BATCH_REQUESTS_MAX):
            unit = self._units.popleft()
            size += len(unit.requests)
            if unit.future.running() or unit.future.set_running_or_notify_cancel():
                taken.append(unit)
        self._waiting -= size
        return taken

    def _work(self, units: Sequence[Unit], *, patient: bool) -> list[Unit]:
        """Record a batch, answer its callers, and return the units that are left for later."""
        try:
            with collection_held_off:
                results = self._record(units, patient)
        except Exception as error:  # noqa: BLE001  whatever went wrong belongs to the callers, and the lane must live on
            left: list[Unit] = []
            if len(units) == 1 or isinstance(error, Unavailable):
                for unit in units:
                    unit.future.set_exception(error)
                return left
            # One of them spoils the batch: half by half it shows which, and only that one fails.
            for half in (units[: len(units) // 2], units[len(units) // 2 :]):
                left += half if left else self._work(half, patient=patient)  # Nobody overtakes who waits.
            return left
        left = []
        for unit, result in zip(units, results, strict=True):
            if result is None:
                left.append(unit)
            elif isinstance(result, LaurelsError):
                unit.future.set_exception(result)
            else:
                unit.answer(result)
        return left

    def _leave_for_later(self, units: Sequence[Unit], *, waited: bool) -> None:
        """Put units back in front, in their order; the first is refused when it was waited for too long."""
        now = monotonic()
        for unit in units:
            unit.rounds += 1
            unit.since = unit.since or now
        first, *others = units
        if waited:
            first.waits += 1
            first.rounds = 1 - 2 ** min(first.waits, WAITS_DOUBLED_MAX)  # Others are not to stand still for it.
            if now - first.since > self._patience_s:
                users = ", ".join(sorted({request.actor for request in first.requests})[:3])
                first.future.set_exception(
                    Unavailable(
                        "user_busy",
                        f"Somebody else has held {users}, or whom they concern, for {self._patience_s:g} s; try again.",
                        retryable=True,
                    )
                )
                units = others
        with self._changed:
            self._units.extendleft(reversed(units))
            self._waiting += sum(len(unit.requests) for unit in units)
