"""
The worker: brings the leaderboards forward behind the journal, for as long as it runs.

Any number of workers may run. One of them holds the lease and projects; another takes over when it is gone. What goes
wrong on the way, a database that is away or a Redis that is empty, is told and waited for: a worker ends when it is
told to. The lease saves work and no more: a projection checks its cursor itself, so two that believe they hold the
lease count nothing twice.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from laurels.core.errors import Unavailable
from laurels.leaderboards import projector
from laurels.leaderboards.projector import PROJECTION
from laurels.store import tail
from laurels.store.tail import AWAY, Holder, Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError

    from laurels.engine import Engine

BUSY_PAUSE_S = 0.05
IDLE_PAUSE_S = 0.5
#: How long one pass waits for open transactions, so that what was answered before it is on the boards after it.
SETTLE_S = 2.0
#: A transaction of ours takes milliseconds; one that holds the journal back for so long is somebody else's.
HELD_BACK_S = 5.0
TELL_EVERY_S = 5.0

log = logging.getLogger("laurels.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTaken:
    """This worker projects from now on, and begins so many rows behind the journal."""

    event: ClassVar[str] = "lease_taken"
    behind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHeldElsewhere:
    """Another worker projects; this one stands by."""

    event: ClassVar[str] = "lease_held_elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Projected:
    """So many journal rows came onto the boards since this was told last, and so many are left."""

    event: ClassVar[str] = "projected"
    rows: int
    behind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """An open transaction, of whatever program, keeps the journal's newest rows from being final."""

    event: ClassVar[str] = "held_back"
    behind: int
    holder: Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """The database or Redis is away; if this worker held the lease, it may have lost it."""

    event: ClassVar[str] = "interrupted"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What was away is back."""

    event: ClassVar[str] = "resumed"
    after_s: float


Told = LeaseTaken | LeaseHeldElsewhere | Projected | HeldBack | Interrupted | Resumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass did: whether it had the lease, how many rows it projected, how many are left and who holds them."""

    lease: bool
    rows: int
    behind: int
    held_back: Holder | None


def log_told(told: Told) -> None:
    """Log what a worker tells: its event as the message, its facts as fields."""
    level = logging.WARNING if isinstance(told, HeldBack | Interrupted) else logging.INFO
    log.log(level, told.event, extra={"projection": PROJECTION, **asdict(told)})


def told_as_json(told: Told) -> dict[str, object]:
    """Return what a worker tells for a line of JSON."""
    return {"event": told.event, "projection": PROJECTION, **asdict(told)}


class Worker:
    """
    One worker on an engine, in the thread that calls it. Close it, or use it in a `with`, and its lease is free.

    `tell` hears what is worth knowing; the default logs it.
    """

    def __init__(self, engine: Engine, tell: Callable[[Told], None] = log_told) -> None:
        self._engine = engine
        self._tell = tell
        self._stopping = False
        self._connection: Connection | None = None
        self._tail = Tail()
        self._leads: bool | None = None
        self._interrupted_at: float | None = None
        self._untold_rows = 0
        self._told_at = float("-inf")
        self._told_holder: tuple[int | None, str] | None = None

    def run_once(self) -> Pass:
        """
        Bring the boards up to everything that was recorded before, and return what that took.

        Where somebody's transaction is open it waits a moment, and leaves what is not final by then. Raises Unavailable
        and SQLAlchemy's OperationalError where the database or Redis is away.
        """
        connection, rows = self._watch(), 0
        if self._lead(connection):
            settled = self._tail.settled_soon(connection, wait_s=SETTLE_S, pause_s=BUSY_PAUSE_S)
            while done := self._engine.projector.step(settled):
                rows += done
        held_back = self._tail.holding_back(connection)
        return Pass(lease=bool(self._leads), rows=rows, behind=self._behind(), held_back=held_back)

    def run(self) -> None:
        """Project until told to stop, whatever goes away and comes back meanwhile."""
        pause_s = BUSY_PAUSE_S
        while not self._stopping:
            done = self._attempt()
            if done < projector.STEP_ROWS:
                pause_s = BUSY_PAUSE_S if done or self._tail.waits else min(2 * pause_s, IDLE_PAUSE_S)
                if pause_s > BUSY_PAUSE_S:
                    self._engine.projector.wait(pause_s)  # What this process records is on the boards in a moment.
                else:
                    time.sleep(pause_s)
        with suppress(*AWAY):
            self._tell_progress(0, at_once=True)

    def stop(self) -> None:
        """Let `run` return after the step it is at; safe to call from signal handlers and other threads."""
        self._stopping = True

    def close(self) -> None:
        """Give up the lease."""
        self._disconnect()

    def __enter__(self) -> Self:
        """Return the worker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the worker."""
        self.close()

    # --- One step -----------------------------------------------------------------------------------------------------

    def _attempt(self) -> int:
        """Take a step and tell of it; what is away is told once, and once more when it is back."""
        try:
            done = self._step()
            self._tell_progress(done)
        except AWAY as error:
            self._disconnect()
            if self._interrupted_at is None:
                self._interrupted_at = time.monotonic()
                self._tell(Interrupted(reason=_reason(error)))
            return 0
        if self._interrupted_at is not None:
            self._tell(Resumed(after_s=round(time.monotonic() - self._interrupted_at, 1)))
            self._interrupted_at = None
        return done

    def _step(self) -> int:
        """Bring the boards forward by a few thousand rows at most; return by how many, 0 without the lease."""
        connection = self._watch()
        return self._engine.projector.step(self._tail.settled(connection)) if self._lead(connection) else 0

    def _lead(self, connection: Connection) -> bool:
        """Return whether this worker holds the lease, after trying to take it where it does not."""
        if not self._leads:
            stood_by, self._leads = self._leads is False, tail.take_lease(connection, PROJECTION)
            if self._leads:
                self._tail.settled(connection)
                self._tell(LeaseTaken(behind=self._behind()))
            elif not stood_by:
                self._tell(LeaseHeldElsewhere())
        return self._leads

    def _watch(self) -> Connection:
        """Return the connection that holds the lease; a new one after it was lost."""
        if self._connection is None:
            self._connection = self._engine.watch()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            tail.close(self._connection)
        self._connection, self._leads = None, None

    def _behind(self) -> int:
        """Return how many rows of the journal, as far as it is known, the boards do not show yet."""
        return self._engine.projector.behind(self._tail.seen)

    # --- Telling ------------------------------------------------------------------------------------------------------

    def _tell_progress(self, done: int, *, at_once: bool = False) -> None:
        """Tell of rows that were projected, and of who holds others back, but not all the time."""
        self._untold_rows += done
        if self._leads and (at_once or time.monotonic() - self._told_at > TELL_EVERY_S):
            self._told_at = time.monotonic()
            if self._untold_rows:
                self._tell(Projected(rows=self._untold_rows, behind=self._behind()))
                self._untold_rows = 0
            holder = self._tail.holding_back(self._watch(), longer_than_s=HELD_BACK_S)
            known, self._told_holder = self._told_holder, (holder.pid, holder.application) if holder else None
            if holder is not None and self._told_holder != known:
                self._tell(HeldBack(behind=self._behind(), holder=holder))


def _reason(error: Unavailable | DBAPIError) -> str:
    """Return the first line of what went wrong, without the statement it went wrong in."""
    return str(error if isinstance(error, Unavailable) else error.orig).strip().split("\n")[0]
