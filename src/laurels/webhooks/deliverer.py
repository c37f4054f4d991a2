"""
The deliverer: makes deliveries of what the journal tells, and sends them, for as long as it runs.

Any number may run. On PostgreSQL one of them holds the lease and reads the journal; all of them send, each to the
endpoints that it has claimed. One endpoint is sent one message at a time, in the journal's order; many endpoints are
served at once, so that a slow one holds up nobody else. Nothing is sent while a transaction is open.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from laurels.core.periods import to_datetime
from laurels.store import tail
from laurels.store.tail import AWAY, Tail
from laurels.webhooks import deliveries
from laurels.webhooks.addresses import Addresses
from laurels.webhooks.deliveries import PROJECTION, Attempt, Tried
from laurels.webhooks.sending import TIMEOUT_S, Sender

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from sqlalchemy import Connection

    from laurels.engine import Engine
    from laurels.settings import Settings
    from laurels.webhooks.deliveries import Message, Turn

P = ParamSpec("P")
T = TypeVar("T")

PAUSE_S, IDLE_PAUSE_S = 0.1, 0.5
#: How long one pass waits for open transactions, and how long what is being sent may take when it is told to stop.
SETTLE_S, GRACE_S = 2.0, 1.0
ENDPOINTS_AT_ONCE = 64
DATABASE_THREADS = 4
PRUNE_EVERY_S = 3_600.0
DAY_US = 86_400_000_000
SUCCESS = range(200, 300)
GONE = 410

log = logging.getLogger("laurels.webhooks")


@dataclass(slots=True, kw_only=True)
class Round:
    """What a deliverer did: messages that were made, delivered, given up, dropped, and attempts that failed."""

    queued: int = 0
    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    dropped: int = 0


class Deliverer:
    """
    One deliverer on an engine, in the thread that calls it.

    `addresses` are where it may send to, by the settings if not given; `trust` is whose certificates are believed,
    `dice` throws numbers between 0 and 1.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        addresses: Addresses | None = None,
        timeout_s: float = TIMEOUT_S,
        trust: ssl.SSLContext | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.done = Round()
        self._engine = engine
        self._addresses = addresses or Addresses(allow_private=settings.webhooks_allow_private)
        self._backlog_max = settings.webhooks_backlog_max
        self._kept_us = settings.webhooks_keep_days * DAY_US
        self._timeout_s = timeout_s
        self._trust = trust
        self._dice = dice
        self._stopping = False
        self._waker: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._connection: Connection | None = None
        self._tail = Tail()
        self._leads = False
        self._pruned_at = float("-inf")
        self._is_away = False
        self._serving: set[str] = set()

    def run_once(self) -> Round:
        """
        Send everything that is due, of what was recorded before this was called; return what that came to.

        Raises Unavailable and SQLAlchemy's OperationalError where the database is away.
        """
        before, self.done = self.done, Round()
        asyncio.run(self._pass())
        done, self.done = self.done, before
        return done

    def run(self) -> None:
        """Deliver until told to stop, whatever goes away and comes back meanwhile."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """Let `run` return soon; safe to call from signal handlers and other threads."""
        self._stopping = True
        waker = self._waker
        if waker is not None and not waker[0].is_closed():
            waker[0].call_soon_threadsafe(waker[1].set)

    def close(self) -> None:
        """Give up the lease."""
        if self._connection is not None:
            tail.close(self._connection)
        self._connection, self._leads = None, False

    # --- Loops --------------------------------------------------------------------------------------------------------

    async def _pass(self) -> None:
        with ThreadPoolExecutor(DATABASE_THREADS, "laurels-webhooks") as threads:
            async with Sender(self._addresses, timeout_s=self._timeout_s, trust=self._trust) as sender:
                in_thread = _InThreads(threads)
                await in_thread(self._project_all)
                while found := await in_thread(self._due):
                    await asyncio.gather(*(self._serve(in_thread, sender, endpoint_id) for endpoint_id in found))

    async def _run(self) -> None:
        wake = asyncio.Event()
        self._waker = asyncio.get_running_loop(), wake
        tasks: set[asyncio.Task[None]] = set()
        with ThreadPoolExecutor(DATABASE_THREADS, "laurels-webhooks") as threads:
            async with Sender(self._addresses, timeout_s=self._timeout_s, trust=self._trust) as sender:
                in_thread = _InThreads(threads)
                while not self._stopping:
                    found = await self._look(in_thread)
                    for endpoint_id in found:
                        self._serving.add(endpoint_id)
                        task = asyncio.create_task(self._serve_safely(in_thread, sender, endpoint_id))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
                    await _wait(wake, PAUSE_S if found or self._serving or self._tail.waits else IDLE_PAUSE_S)
                if tasks:
                    await self._end(tasks)

    async def _look(self, in_thread: _InThreads) -> list[str]:
        """Read on in the journal, and return the endpoints to be served; what is away is told once, and waited for."""
        try:
            await in_thread(self._project)
            found = await in_thread(self._due)
        except AWAY as error:
            self.close()
            if not self._is_away:
                log.warning("webhooks_interrupted", extra={"reason": str(error).strip().partition("\n")[0]})
            self._is_away = True
            return []
        if self._is_away:
            log.info("webhooks_resumed")
            self._is_away = False
        return found

    async def _end(self, tasks: set[asyncio.Task[None]]) -> None:
        """Wait a moment for what is being sent. What was not answered then is sent again, under the same id."""
        _, pending = await asyncio.wait(tasks, timeout=GRACE_S)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    # --- The journal --------------------------------------------------------------------------------------------------

    def _project_all(self) -> None:
        """Make deliveries of all that was recorded before; where somebody's transaction is open, wait a moment."""
        connection = self._watch()
        if not self._lead(connection):
            return
        settled = self._tail.settled_soon(connection, wait_s=SETTLE_S, pause_s=PAUSE_S)
        while self._step(settled):
            pass

    def _project(self) -> None:
        """Make deliveries of some of what is final, with the lease; forget old ones now and then."""
        connection = self._watch()
        if self._lead(connection):
            self._step(self._tail.settled(connection))
            if time.monotonic() - self._pruned_at > PRUNE_EVERY_S:
                self._pruned_at = time.monotonic()
                deliveries.prune(self._engine, self._engine.now() - self._kept_us)

    def _step(self, settled: int) -> int:
        came = deliveries.project(self._engine, settled, backlog_max=self._backlog_max)
        self.done.queued += came.queued
        self.done.dropped += came.dropped
        if came.dropped:
            log.warning("webhooks_dropped", extra={"messages": came.dropped})
        return came.rows

    def _lead(self, connection: Connection) -> bool:
        self._leads = self._leads or tail.take_lease(connection, PROJECTION)
        return self._leads

    def _watch(self) -> Connection:
        """Return the connection that holds the lease; a new one after it was lost."""
        if self._connection is None:
            self._connection = self._engine.watch()
        return self._connection

    # --- The endpoints ------------------------------------------------------------------------------------------------

    def _due(self) -> list[str]:
        """Return endpoints to be served that this process does not serve yet, as many as there is room for."""
        room = ENDPOINTS_AT_ONCE - len(self._serving)
        if room <= 0:
            return []
        with self._engine.read() as connection:
            found = deliveries.due(connection, self._engine.now(), ENDPOINTS_AT_ONCE)
        return [endpoint_id for endpoint_id in found if endpoint_id not in self._serving][:room]

    async def _serve_safely(self, in_thread: _InThreads, sender: Sender, endpoint_id: str) -> None:
        """Serve an endpoint. A database that is away ends that; the claim runs out, and what was due is due again."""
        try:
            await self._serve(in_thread, sender, endpoint_id)
        except AWAY as error:
            log.info("webhook_left", extra={"webhook": endpoint_id, "reason": type(error).__name__})
        except Exception:
            log.exception("webhook_failed", extra={"webhook": endpoint_id})
        finally:
            self._serving.discard(endpoint_id)

    async def _serve(self, in_thread: _InThreads, sender: Sender, endpoint_id: str) -> None:
        """Send to an endpoint until nothing is due, or something failed."""
        while not self._stopping and (turn := await in_thread(deliveries.claim, self._engine, endpoint_id)) is not None:
            tried: list[Tried] = []
            try:
                await self._take(sender, turn, tried)
            finally:  # Also when it is cancelled: what was answered is not sent again.
                await asyncio.shield(in_thread(deliveries.finish, self._engine, turn, tuple(tried)))

    async def _take(self, sender: Sender, turn: Turn, tried: list[Tried]) -> None:
        """Send what a turn holds, one after the other, up to the first that fails."""
        until = time.monotonic() + deliveries.TURN_S
        for message in turn.messages:
            one = await self._try(sender, turn, message)
            tried.append(one)
            if one.status in {"pending", "failed"} or time.monotonic() > until or self._stopping:
                return

    async def _try(self, sender: Sender, turn: Turn, message: Message) -> Tried:
        """Send a message and decide what comes of it."""
        now = self._engine.now()
        if message.body is None:
            attempt = Attempt(at=to_datetime(now), response=None, error="the journal no longer holds it", duration_ms=0)
            self.done.dropped += 1
            return Tried(message, attempt, "dropped", None)
        answer = await sender.send(turn.url, turn.secrets, message.message_id, message.body, now)
        attempt = Attempt(
            at=to_datetime(now), response=answer.status, error=answer.error, duration_ms=answer.duration_ms
        )
        if answer.status in SUCCESS:
            self.done.delivered += 1
            return Tried(message, attempt, "delivered", None)
        self.done.failed += 1
        facts = {"webhook": turn.endpoint_id, "response": answer.status, "reason": answer.error}
        if answer.status == GONE:
            log.warning("webhook_gone", extra=facts)
            return Tried(message, attempt, "pending", now, is_gone=True)
        due_at = deliveries.next_attempt(message.tries + 1, now, dice=self._dice(), retry_after_s=answer.retry_after_s)
        if due_at is None:
            self.done.given_up += 1
            log.warning("webhook_given_up", extra={**facts, "delivery": message.message_id})
            return Tried(message, attempt, "failed", None)
        log.info("webhook_attempt_failed", extra=facts)
        return Tried(message, attempt, "pending", due_at)


class _InThreads:
    """Calls what waits for the database, without the loop waiting for it."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        assert not kwargs
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *args)


async def _wait(wake: asyncio.Event, pause_s: float) -> None:
    try:
        async with asyncio.timeout(pause_s):
            await wake.wait()
    except TimeoutError:
        pass
