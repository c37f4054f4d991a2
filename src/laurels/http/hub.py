"""
The hub of the live stream: one for each process, it hands on what the journal tells to everybody who listens here.

While somebody listens, a Follower (stream.py) looks at the journal in a thread of its own; all else happens in the
event loop. A listener is live, and gets what becomes final as it does, or behind, and reads the journal at its own pace
until it has caught up. It is behind when it resumes, and when it is slower than what comes: then what waits for it is
let go and read again. So nobody is held up by others, and what somebody gets are the changes of the journal, each once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

from laurels import stream
from laurels.core.errors import Conflict, Unavailable
from laurels.http.problems import Refused
from laurels.store.tail import AWAY
from laurels.stream import Follower, Look, Position, changes_after

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from laurels.engine import Engine
    from laurels.http.auth import Caller, KeyRing
    from laurels.stream import Told

log = logging.getLogger("laurels.http")

HEARTBEAT = b":\n"
#: What waits for a listener; beyond, it reads again from the journal.
WAITING_MAX = 500
#: How many listeners read the journal at the same time: each takes a connection.
READERS = 2
#: How long a listener that does not resume waits for the journal's end to be known; nearly always it is known at once.
END_S_MAX = 1.0
#: How often it is looked whether callers may still listen, and who is to hear a heartbeat.
ROUND_S = 1.0
#: So many streams can one user have open in a process: for every tab one, but not for every loop that went wrong.
OF_USER_MAX = 32


class Listener:
    """Somebody who listens: to what, from where on, and what waits to be sent."""

    __slots__ = (
        "_hub", "_waiting", "_waker", "after_look", "beat_at", "beats", "caller", "ended", "ends_at", "entered",
        "entered_at", "is_behind", "position", "types", "user_id",
    )  # fmt: skip

    def __init__(
        self, hub: Hub, caller: Caller, *, position: Position | None, user_id: str | None, types: frozenset[str] | None
    ) -> None:
        self.caller = caller
        #: Behind everything that was handed out to be sent; None until the journal's end was looked up.
        self.position = position
        self.user_id = user_id
        self.types = types
        self.is_behind = False
        self.ended = False
        self._hub = hub
        self._waiting: list[Told] = []
        self._waker: asyncio.Future[None] | None = None
        # Of the time before it is let in:
        self.entered: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self.after_look = 0
        self.entered_at = time.monotonic()
        # What the hub's rounds go by:
        self.beats = False
        self.beat_at = 0.0
        self.ends_at = float("inf")

    async def piece(self) -> bytes:
        """Wait for something to send, and return it; nothing at the end."""
        while not self.ended:
            if self.is_behind and self._hub.end is not None:
                text = await self._hub.read_on(self) or self._take()
            else:
                text = self._take()
                if not text:
                    self._waker = asyncio.get_running_loop().create_future()
                    await self._waker
                    self._waker = None
            if text:
                return text
        return b""

    def offer(self, told: Told) -> None:
        """Let a change wait to be sent, if the listener wants it and does not read it from the journal anyway."""
        assert self.position is not None
        if self.is_behind or told.position <= self.position or not self.wants(told):
            return
        if len(self._waiting) == WAITING_MAX:
            self._waiting.clear()
            self.is_behind = True
        else:
            self._waiting.append(told)
        self.wake()

    def wants(self, told: Told) -> bool:
        """Whether a change is of a type that was asked for."""
        return self.types is None or told.type in self.types

    def beat(self) -> None:
        """Let a heartbeat be sent."""
        self.beats = True
        self.wake()

    def end(self) -> None:
        """Let the stream end."""
        self.ended = True
        self.wake()
        self.answer(None)

    def wake(self) -> None:
        """Let `piece` see what there is."""
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def answer(self, refusal: Exception | None) -> None:
        """Tell somebody who waits to be let in that they are, or why not."""
        if self.entered is None or self.entered.done():
            return
        if refusal is None:
            self.entered.set_result(None)
        else:
            self.entered.set_exception(refusal)

    def _take(self) -> bytes:
        if self._waiting:
            taken, self._waiting = self._waiting, []
            self.position = taken[-1].position
            return b"".join(told.text for told in taken)
        if self.beats:
            self.beats = False
            return HEARTBEAT
        return b""


class Hub:
    """
    Everybody who listens to the live stream in this process.

    Everything is called in the event loop, but `close`, which any thread and any signal handler may call.
    """

    def __init__(self, engine: Engine, keys: KeyRing, *, heartbeat_s: float, lasts_s_max: float) -> None:
        self._engine = engine
        self._keys = keys
        self._heartbeat_s = heartbeat_s
        self._lasts_s_max = lasts_s_max
        #: Up to which `seq` everything was handed on; None while that is not known.
        self.end: int | None = None
        self._listeners: set[Listener] = set()
        #: How many streams users have open, by tokens of theirs.
        self._by_users: Counter[str] = Counter()
        self._entering: list[Listener] = []
        self._of_all: set[Listener] = set()
        self._of_user: dict[str, set[Listener]] = {}
        self._follower: Follower | None = None
        self._left: list[Follower] = []
        self._readers = asyncio.Semaphore(READERS)
        self._rounds: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def listeners(self) -> int:
        """Return how many listen."""
        return len(self._listeners)

    # --- Coming and going ---------------------------------------------------------------------------------------------

    async def enter(self, listener: Listener) -> None:
        """
        Let somebody listen, from their position on or from the journal's end.

        Raises Refused and LaurelsError where that cannot be; `leave` is to be called in any case.
        """
        if self._closed:
            raise Refused(
                503, "stopping", "The service is about to stop; come again in a moment.", {"Retry-After": "1"}
            )
        user_id = listener.caller.user_id
        if user_id is not None and self._by_users[user_id] >= OF_USER_MAX:
            raise Refused(
                429, "too_many_streams", f"This user listens {OF_USER_MAX} times already.", {"Retry-After": "5"}
            )
        follower = self._follow()
        self._listeners.add(listener)
        if user_id is not None:
            self._by_users[user_id] += 1
        listener.after_look = follower.begun
        self._entering.append(listener)
        follower.look()
        assert listener.entered is not None
        await listener.entered
        listener.entered = None
        listener.ends_at = time.monotonic() + (self._lasts_s_max or float("inf"))
        self._plan_beat(listener)

    def leave(self, listener: Listener) -> None:
        """Forget somebody who listened, or was about to."""
        if listener not in self._listeners:
            return
        self._listeners.remove(listener)
        user_id = listener.caller.user_id
        if user_id is not None:
            self._by_users[user_id] -= 1
            if not self._by_users[user_id]:
                del self._by_users[user_id]
        if listener.entered is not None and listener in self._entering:
            self._entering.remove(listener)
        self._of_all.discard(listener)
        if listener.user_id in self._of_user:
            theirs = self._of_user[listener.user_id]
            theirs.discard(listener)
            if not theirs:
                del self._of_user[listener.user_id]
        if not self._listeners:
            self._rest()

    def close(self) -> None:
        """Let nobody in any more and end every stream, soon."""
        self._closed, loop = True, self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._end_all)

    async def closed(self) -> None:
        """Close, and wait until the journal is left alone; who comes after that begins anew."""
        self.close()
        self._rest()
        left, self._left = self._left, []
        for follower in left:
            await asyncio.to_thread(follower.join)
        self._closed = False

    def _end_all(self) -> None:
        for listener in self._listeners:
            listener.end()

    def _fail(self) -> None:
        """End every stream, so that those who come back find a hub that begins anew."""
        self._end_all()
        self._rest()

    def _follow(self) -> Follower:
        """Return who follows the journal; begin to, and to make rounds, if nobody listened until now."""
        if self._follower is None:
            self._loop = asyncio.get_running_loop()
            self._left = [follower for follower in self._left if follower.is_running]
            self._follower = follower = Follower(self._engine, self._hand_over)
            follower.start()
            self._readers = asyncio.Semaphore(READERS)
            self._rounds = asyncio.create_task(self._make_rounds())
            self._rounds.add_done_callback(self._rounds_ended)
        return self._follower

    def _rest(self) -> None:
        """Leave the journal alone: nobody listens."""
        if self._follower is not None:
            self._follower.stop()
            self._left.append(self._follower)
        if self._rounds is not None:
            self._rounds.cancel()
        self._follower, self._rounds, self._loop, self.end = None, None, None, None

    # --- What the follower tells --------------------------------------------------------------------------------------

    def _hand_over(self, follower: Follower, found: Look | Unavailable | None, taken: threading.Event) -> None:
        """Take what a follower tells to the event loop. This is called in the follower's thread."""
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._take, follower, found, taken)

    def _take(self, follower: Follower, found: Look | Unavailable | None, taken: threading.Event) -> None:
        try:
            if follower is not self._follower:  # The last one left meanwhile.
                return
            if isinstance(found, Look):
                self._tell(found)
            elif found is None:
                self._fail()
            else:
                for listener in self._entering:
                    listener.answer(found)
                self._entering = []
        finally:
            taken.set()

    def _tell(self, look: Look) -> None:
        for seq, user_id, changes in look.rows:
            listeners = [*self._of_all, *self._of_user.get(user_id, ())]
            if listeners:
                for told in stream.told(seq, user_id, changes):
                    for listener in listeners:
                        listener.offer(told)
        begins = self.end is None and look.end is not None
        self.end = look.end
        if begins:
            for listener in self._listeners:
                listener.wake()
        waiting, self._entering = self._entering, []
        for listener in waiting:
            if listener.after_look >= look.number or not self._let_in(listener, look):
                self._entering.append(listener)

    def _let_in(self, listener: Listener, look: Look) -> bool:
        """Let somebody in as of a look, or refuse them; return False if they are to wait for the next one."""
        given = listener.position
        if look.end is None and given is None and time.monotonic() - listener.entered_at < END_S_MAX:
            return False
        if given is not None and look.drawn is not None and given.seq > look.drawn:
            reason = f"The journal does not reach {given}: that is of another database, or of before a restore."
            listener.answer(Conflict("unknown_position", reason))
            return True
        listener.position = given or Position(look.last if look.end is None else look.end)
        listener.is_behind = look.end is None or listener.position.rows_before < look.end
        if listener.user_id is None:
            self._of_all.add(listener)
        else:
            self._of_user.setdefault(listener.user_id, set()).add(listener)
        listener.answer(None)
        return True

    async def read_on(self, listener: Listener) -> bytes:
        """Return what a listener who is behind reads next; from when they have caught up on, they are live."""
        assert self.end is not None
        assert listener.position is not None
        if listener.position.rows_before >= self.end:
            listener.is_behind = False
            return b""
        try:
            async with self._readers:
                found, position = await asyncio.to_thread(
                    changes_after, self._engine, listener.position, end=self.end, user_id=listener.user_id
                )
        except AWAY:  # The follower tells of it.
            await asyncio.sleep(stream.AWAY_PAUSE_S)
            return b""
        listener.position, listener.is_behind = position, position.rows_before < self.end
        return b"".join(told.text for told in found if listener.wants(told))

    # --- Rounds -------------------------------------------------------------------------------------------------------

    async def _make_rounds(self) -> None:
        """End the streams of those who may not listen any more, and let the others hear heartbeats."""
        round_s = min(ROUND_S, self._heartbeat_s / 4)
        while True:
            await asyncio.sleep(round_s)
            may_listen = await self._look_at_callers()
            now = time.monotonic()
            for listener in self._listeners:
                if now >= listener.ends_at or not may_listen(listener.caller):
                    listener.end()
                elif now + round_s >= listener.beat_at:
                    listener.beat()
                    self._plan_beat(listener)

    def _rounds_ended(self, rounds: asyncio.Task[None]) -> None:
        if not rounds.cancelled() and rounds is self._rounds:
            log.error("stream_rounds_failed", exc_info=rounds.exception())
            self._fail()

    async def _look_at_callers(self) -> Callable[[Caller], bool]:
        """Return who may listen: whose key is still good, whose token is not over."""
        now = time.time()
        try:
            living = await self._keys.living()
        except AWAY:  # Nobody can say, and nothing new can be told before somebody can.
            return lambda caller: caller.expires_at > now
        return lambda caller: caller.key_id in living if caller.key_id else caller.expires_at > now

    def _plan_beat(self, listener: Listener) -> None:
        """Let the next heartbeat of a listener come in a pause from now, but not everybody's at the same time."""
        pause_s = self._heartbeat_s * random.uniform(0.7, 1.0)  # noqa: S311  it guards nothing
        listener.beat_at = time.monotonic() + pause_s
