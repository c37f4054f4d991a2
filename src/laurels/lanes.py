"""
Group commit: concurrent callers share a transaction.

A lane is one thread. While it commits a batch, requests gather; then it takes them all. No timer is involved, so a lone
request is not delayed, and hundreds share one commit. A batch is made of units; a unit is what one caller handed over
together, recorded together or not at all. What one unit asks in vain fails that unit alone.
"""

from __future__ import annotations

import gc
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from laurels.core.errors import LaurelsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from laurels.core.changes import Outcome
    from laurels.core.requests import Request

BATCH_REQUESTS_MAX = 500
WAITING_REQUESTS_MAX = 20_000


@dataclass(slots=True, eq=False)
class Unit:
    """Requests of one caller, recorded together or not at all, and where their outcomes go."""

    requests: Sequence[Request]
    future: Future[list[Outcome]] = field(default_factory=Future)


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

    `record` takes units into one transaction and returns for each its outcomes, or the error that refused it and left
    no trace; it raises when the whole batch came to nothing.
    """

    def __init__(self, record: Callable[[Sequence[Unit]], list[list[Outcome] | LaurelsError]], name: str) -> None:
        self._record = record
        self._units: deque[Unit] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, unit: Unit) -> None:
        """Hand a unit over. Raises Unavailable `engine_closed` after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting < WAITING_REQUESTS_MAX or self._closed)
            if self._closed:
                raise Unavailable("engine_closed", "The engine is closed; open it again.")
            self._units.append(unit)
            self._waiting += len(unit.requests)
            self._changed.notify_all()

    def close(self) -> None:
        """Record what was handed over, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while units := self._take():
            self._work(units)

    def _take(self) -> list[Unit]:
        """
        Return what has gathered, at least one unit and not many more requests than a batch has.

        Empty when closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._units or self._closed)
            taken: list[Unit] = []
            size = 0
            while self._units and (not taken or size + len(self._units[0].requests) <= BATCH_REQUESTS_MAX):
                unit = self._units.popleft()
                size += len(unit.requests)
                taken.append(unit)
            self._waiting -= size
            self._changed.notify_all()
            return taken

    def _work(self, units: Sequence[Unit]) -> None:
        try:
            with collection_held_off:
                results = self._record(units)
        except Exception as error:  # noqa: BLE001  whatever went wrong belongs to the callers, and the lane must live on
            if len(units) == 1 or isinstance(error, Unavailable):
                for unit in units:
                    unit.future.set_exception(error)
            else:
                for unit in units:  # One of them spoils the batch: alone, only that one fails.
                    self._work([unit])
            return
        for unit, result in zip(units, results, strict=True):
            if isinstance(result, LaurelsError):
                unit.future.set_exception(result)
            else:
                unit.future.set_result(result)
