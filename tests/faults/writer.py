"""
A program that records without end, as a client should.

    python -m tests.faults.writer URL NAME NOTES

It notes what it sends before, and what it was answered after. What was not answered, because an error said to try again
or because the program was killed, it sends again under the same id. It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
import traceback
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

import laurels
from laurels.core.commands import AwardXp, Credit, Spend, Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from laurels.core.commands import AnyCommand

USERS = [f"user-{number}" for number in range(60)]
#: A stream that every writer sends in full: most of it is answered to two of them at the same time.
TWINS = "twins"
PAUSE_S = 0.005
RETRY_S = 0.05
#: How long to go on trying after the end was asked for.
END_S = 60.0
REPEATS, READS = 0.05, 0.05

What = Literal["ready", "sent", "answered", "refused", "retried", "repeated", "unread", "failed"]


class Note(msgspec.Struct, array_like=True, frozen=True):
    """What happened to a unit at a moment of the machine's monotonic clock; `detail` is a digest, code or traceback."""

    at: float
    what: What
    unit: str = ""
    detail: str = ""


class Notes:
    """The notes of a writer, and of those of the same name before it: a file that a kill leaves readable."""

    def __init__(self, path: Path) -> None:
        self.before = list(read_notes(path.read_bytes())) if path.exists() else []
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def add(self, what: What, unit: str = "", detail: str = "") -> None:
        # Its own line break comes first: the writer before may have been killed in the middle of a line.
        os.write(self._file, b"\n" + msgspec.json.encode(Note(time.monotonic(), what, unit, detail)))


def read_notes(data: bytes) -> Iterator[Note]:
    for line in data.split(b"\n"):
        try:
            yield msgspec.json.decode(line, type=Note)
        except msgspec.DecodeError:
            continue  # Cut short, or not yet written to its end.


def requests_of(unit: str) -> list[laurels.Event | AnyCommand]:
    """Return what a unit asks for: always the same, so it can be sent again by who knows nothing but its name."""
    dice = random.Random(unit)
    return [_request(f"{unit}.{number}", dice) for number in range(dice.choice([1, 1, 1, 2, 5]))]


def _request(request_id: str, dice: random.Random) -> laurels.Event | AnyCommand:
    user, other = dice.sample(USERS, 2)
    match dice.randrange(12):
        case 0:
            return AwardXp(user=user, id=request_id, amount=dice.randrange(1, 50))
        case 1:
            return Credit(user=user, id=request_id, currency="sparkle", amount=dice.randrange(1, 50))
        case 2:
            return Spend(user=user, id=request_id, currency="sparkle", amount=dice.randrange(1, 100))
        case 3:
            return Transfer(user=user, id=request_id, to=other, currency="sparkle", amount=dice.randrange(1, 50))
        case 4 | 5:
            return laurels.Event("post.created", user=user, id=request_id, data={"words": 100})
        case 6 | 7:
            return laurels.Event("user.login", user=user, id=request_id)
        case _:
            data = {"target": dice.choice([request_id, "the-same"]), "author": other}
            return laurels.Event("reaction.added", user=user, id=request_id, data=data)


def digest_of(outcomes: Sequence[laurels.Outcome]) -> str:
    """Return what tells outcomes apart. How far an achievement has come is told only once, and so left out."""
    told = [
        (o.user_id, o.event_id, [c for c in o.changes if c.type != "achievement.progressed"], o.skipped)
        for o in outcomes
    ]
    return blake2b(msgspec.json.encode(told), digest_size=8).hexdigest()


class Streams:
    """What a writer has sent so far, stream by stream, and which units nobody told it the end of."""

    def __init__(self, notes: Sequence[Note]) -> None:
        self._open = {note.unit: None for note in notes if note.what == "sent"}
        self._next: dict[str, int] = {}
        for unit in self._open:
            stream, _, number = unit.rpartition("-")
            self._next[stream] = max(self._next.get(stream, 0), int(number) + 1)
        for note in notes:
            if note.what in ("answered", "refused"):
                self._open.pop(note.unit, None)

    def units(self, stream: str) -> Iterator[str]:
        """Yield what is to be sent: what has no answer yet, then new units for ever."""
        left = [unit for unit in self._open if unit.rpartition("-")[0] == stream]
        return chain(left, (f"{stream}-{number}" for number in count(self._next.get(stream, 0))))


class Sender:
    """One thread's work: send unit after unit, each until it is answered or refused."""

    def __init__(self, engine: laurels.Engine, notes: Notes, ending: threading.Event) -> None:
        self._engine = engine
        self._notes = notes
        self._ending = ending
        self._answered: deque[str] = deque(maxlen=50)
        self._dice = random.Random()

    def work(self, units: Iterator[str]) -> None:
        for unit in units:
            if self._ending.is_set():
                return
            try:
                self._send(unit)
                self._look_around()
            except Exception:  # noqa: BLE001  whatever it is, it is no error a caller should ever see
                self._notes.add("failed", unit, traceback.format_exc())
            time.sleep(PAUSE_S)

    def _send(self, unit: str) -> None:
        requests = requests_of(unit)
        self._notes.add("sent", unit)
        give_up_at = float("inf")
        while time.monotonic() < give_up_at:
            try:
                outcomes = self._engine.record(requests)
            except laurels.LaurelsError as error:
                if not error.retryable:
                    self._notes.add("refused", unit, error.code)
                    return
                self._notes.add("retried", unit, error.code)
                time.sleep(RETRY_S)
            else:
                self._notes.add("answered", unit, digest_of(outcomes))
                self._answered.append(unit)
                return
            if self._ending.is_set():
                give_up_at = min(give_up_at, time.monotonic() + END_S)

    def _look_around(self) -> None:
        """Now and then send once more what was answered, or read."""
        try:
            if self._answered and self._dice.random() < REPEATS:
                unit = self._dice.choice(self._answered)
                self._notes.add("repeated", unit, digest_of(self._engine.record(requests_of(unit))))
            if self._dice.random() < READS:
                self._engine.leaderboard("xp").top(3)
                self._engine.profile(self._dice.choice(USERS))
        except laurels.Unknown:
            pass  # Nobody has done anything for this user yet.
        except laurels.LaurelsError as error:
            if not error.retryable:
                raise
            self._notes.add("unread", "", error.code)


class SteppingClock:
    """A clock that is set forward and back by hours every few dozen times it is asked."""

    def __init__(self, hours: float) -> None:
        self._hours = hours
        self._dice = random.Random()
        self._step = timedelta()

    def __call__(self) -> datetime:
        if self._dice.random() < 1 / 30:
            self._step = timedelta(hours=self._dice.uniform(-self._hours, self._hours))
        return datetime.now(UTC) + self._step


def open_engine(asked: argparse.Namespace, notes: Notes, ending: threading.Event) -> laurels.Engine | None:
    """Open the database, trying again while it is away; None when the end is asked for before."""
    clock = SteppingClock(asked.clock_steps) if asked.clock_steps else None
    while not ending.is_set():
        try:
            return laurels.open(asked.url, busy_timeout_s=asked.patience, redis=asked.redis, clock=clock)
        except laurels.LaurelsError as error:
            if not error.retryable:
                raise
            notes.add("retried", "", error.code)
            time.sleep(RETRY_S)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("name")
    parser.add_argument("notes", type=Path)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--patience", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--clock-steps", type=float, default=0.0, metavar="HOURS")
    parser.add_argument("--redis", metavar="URL")
    asked = parser.parse_args()
    notes, ending = Notes(asked.notes), threading.Event()

    def watch() -> None:
        sys.stdin.read()
        ending.set()

    threading.Thread(target=watch, daemon=True).start()
    engine = open_engine(asked, notes, ending)
    if engine is None:
        return
    notes.add("ready")
    streams = Streams(notes.before)
    names = [TWINS, *(f"{asked.name}-{number}" for number in range(1, asked.threads))]
    with engine, ThreadPoolExecutor(len(names)) as threads:
        for name in names:
            threads.submit(Sender(engine, notes, ending).work, streams.units(name))


if __name__ == "__main__":
    main()
