"""Is what was answered there, once, with the same outcome, and is nothing else? Notes held against the database."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from sqlalchemy import func, select

import laurels
from laurels.doctor import examine
from laurels.store.reads import entries
from laurels.store.tables import journal
from tests.faults.writer import USERS, digest_of, requests_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.faults.writer import Note

SHOWN_MAX = 5
UNITS_AT_A_TIME = 500


@dataclass
class Audit:
    """What came of it all. `problems` is empty, or something is wrong."""

    sent: int = 0
    answered: int = 0
    refused: int = 0
    repeated: int = 0
    unanswered: int = 0
    unanswered_but_there: int = 0
    rows: int = 0
    users: int = 0
    problems: list[str] = field(default_factory=list)

    def expect_none(self, what: str, found: Iterable[object]) -> None:
        """Note a problem where something was found."""
        if found := sorted(map(str, found)):
            self.problems.append(f"{what}: {len(found)}, such as {found[:SHOWN_MAX]}")


def audit(engine: laurels.Engine, notes: Iterable[Note]) -> Audit:
    """Hold what writers noted against what is stored, once all of them have ended."""
    found = Audit()
    told = _Told(notes)
    found.expect_none("errors that no caller should see", told.failures)
    found.expect_none("units with several outcomes", (u for u, digests in told.digests.items() if len(digests) > 1))
    _compare_with_journal(found, told, engine)
    _send_again(found, told, engine)
    _examine(found, engine)
    found.sent, found.repeated = len(told.sent), told.repeated
    found.answered, found.refused = len(told.digests), len(told.refused - told.digests.keys())
    return found


class _Told:
    """What the writers say, unit by unit."""

    def __init__(self, notes: Iterable[Note]) -> None:
        self.sent: set[str] = set()
        self.refused: set[str] = set()
        self.digests: dict[str, set[str]] = defaultdict(set)
        self.failures: list[str] = []
        self.repeated = 0
        times_sent, times_ended = Counter[str](), Counter[str]()
        for note in notes:
            times_sent[note.unit] += note.what == "sent"
            times_ended[note.unit] += note.what in ("answered", "refused")
            if note.what == "sent":
                self.sent.add(note.unit)
            elif note.what in ("answered", "repeated"):
                self.digests[note.unit].add(note.detail)
                self.repeated += note.what == "repeated"
            elif note.what == "refused":
                self.refused.add(note.unit)
            elif note.what == "failed":
                self.failures.append(f"{note.unit} {note.detail}")
        #: Sent, at least once, by somebody who never heard what came of it.
        self.in_doubt = {unit for unit, times in times_sent.items() if times > times_ended[unit]}


def _compare_with_journal(found: Audit, told: _Told, engine: laurels.Engine) -> None:
    with engine.read() as connection:
        rows = connection.execute(
            select(journal.c.user_id, journal.c.actor_id, journal.c.request_id, func.count()).group_by(
                journal.c.user_id, journal.c.actor_id, journal.c.request_id
            )
        ).all()
    there = {request_id for user_id, actor_id, request_id, _ in rows if user_id == actor_id}
    requests = {unit: {request.id for request in requests_of(unit)} for unit in told.sent}
    halved = {unit for unit, ids in requests.items() if ids & there and not ids <= there}
    stored = {unit for unit, ids in requests.items() if ids <= there}
    found.rows = sum(times for *_, times in rows)
    found.expect_none("rows of one request for one user", (row for row in rows if row[3] > 1))
    found.expect_none("requests that nobody sent", there - set[str]().union(*requests.values()))
    found.expect_none("units recorded in part", halved)
    found.expect_none("answered and not there", told.digests.keys() - stored)
    found.expect_none("refused and yet there", (told.refused - told.digests.keys() - told.in_doubt) & stored)
    open_ends = told.sent - told.digests.keys() - told.refused
    found.unanswered, found.unanswered_but_there = len(open_ends), len(open_ends & stored)
    found.expect_none("neither answered, refused nor in doubt", (stored & open_ends) - told.in_doubt)


def _send_again(found: Audit, told: _Told, engine: laurels.Engine) -> None:
    """Ask for the outcome of everything that was answered: it is a duplicate of what was said the first time."""
    differing = []
    for units in _slices(sorted(told.digests), UNITS_AT_A_TIME):
        requests = [requests_of(unit) for unit in units]
        try:
            outcomes = iter(engine.record([request for unit in requests for request in unit]))
        except laurels.LaurelsError as error:  # Duplicates are never refused: some of these were none.
            differing.append(f"{units[0]} or one after it: {error}")
            continue
        for unit, asked in zip(units, requests, strict=True):
            again = list(islice(outcomes, len(asked)))
            if {outcome.status for outcome in again} != {"duplicate"} or digest_of(again) not in told.digests[unit]:
                differing.append(unit)
    found.expect_none("sent again and answered differently", differing)


def _examine(found: Audit, engine: laurels.Engine) -> None:
    """Let the doctor look, and add the board of XP up by other means."""
    engine.project()
    report = examine(engine, _silent)
    found.users = report.users
    found.expect_none("what the doctor finds", report.findings)
    with engine.read() as connection:
        totals = (
            select(entries.c.user_id, func.sum(entries.c.amount))
            .where(entries.c.unit == "xp")
            .group_by(entries.c.user_id)
        )
        expected = {user_id: int(total) for user_id, total in connection.execute(totals) if total}
    shown = {line.user_id: line.score for line in engine.leaderboard("xp").top(len(USERS))}
    found.expect_none("differing on the board of XP", expected.items() ^ shown.items())


def _slices(units: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(units), size):
        yield units[start : start + size]


def _silent(_what: str, _unit: str) -> Callable[[int, int | None], None]:
    return lambda _done, _total: None
