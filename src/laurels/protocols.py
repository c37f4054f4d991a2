"""
The seams, on one screen: what a store must do, and where long work says how far it is.

Everything else reads through SQLAlchemy, the same on every database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from contextlib import AbstractContextManager

    import psycopg
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from laurels.core.catalog import Catalog, Leaderboard
    from laurels.core.decide import Context, Decision, RequestKey, States, Touches
    from laurels.core.state import UserState

    #: A connection of the application's own: of psycopg, or of SQLAlchemy, or a Session of it.
    ForeignConnection = psycopg.Connection[Any] | Connection | Session


class Transaction(Protocol):
    """One write transaction, which holds whatever it touches until it ends. `connection` is for rare statements."""

    @property
    def connection(self) -> Connection:
        """Return the connection, for statements that are the same on every database."""
        ...

    def lock(self, user_ids: Collection[str], *, waiting_for: Collection[str] = ()) -> Collection[str]:
        """
        Lock users until the end, and make those who are new; return those whom others hold.

        Waits for nobody but those of `waiting_for`, and for them only a moment.
        """
        ...

    def lock_catalog(self) -> None:
        """Keep others from applying a catalog until the end."""
        ...

    def revision(self) -> int:
        """Return the number of the current catalog revision, 0 for none."""
        ...

    def load(self, touched: Touches, keys: Collection[RequestKey], catalog: Catalog) -> Context:
        """Load everything that deciding these requests needs to know; their users were locked."""
        ...

    def remember(self, context: Context, user_ids: Iterable[str], catalog: Catalog) -> None:
        """Give the context the memories of users with late requests, and their documents what they had forgotten."""
        ...

    def save(self, decisions: Sequence[Decision], states: States, catalog: Catalog) -> bool:
        """
        Write what was decided.

        False, and nothing written, when another batch took places in limited achievements meanwhile: decide again.
        """
        ...

    def put(self, user_id: str, state: UserState) -> None:
        """Write the state of one user, who was locked: for settings, which are no request."""
        ...


class Store(Protocol):
    """
    A database.

    `read` serves readers one snapshot, `write` opens a transaction that commits at its end or not at all, `join` takes
    part in the application's own. `lanes` is how many batches may be under way at once.
    """

    lanes: int

    def read(self) -> AbstractContextManager[Connection]:
        """Open a connection for reading. Raises Unavailable where the database cannot be read."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a write transaction. Raises Unavailable where the database cannot be written."""
        ...

    def join(self, connection: ForeignConnection) -> AbstractContextManager[Transaction]:
        """Take part in the application's own transaction. Raises InvalidInput where that cannot be."""
        ...

    def close(self) -> None:
        """Give up every connection."""
        ...


class Ranking(NamedTuple):
    """What users are ranked in: a board in a period, by its key (`all`, 2026-W47), for one value of its group."""

    board: Leaderboard
    period: str
    member_of: str = ""


class Place(NamedTuple):
    """One line of a ranking; `rank` follows the board's policy on ties."""

    rank: int
    user_id: str
    score: int


class Leaderboards(Protocol):
    """
    Where rankings are kept: in the database, or in Redis. Who opted out is in no answer.

    Lines stand by score, the highest first; equal ones by user id, on `first` boards by who got there first before
    that. Each answer is true of one moment. Raises Unavailable (retryable) where rankings are away or being rebuilt.
    """

    def total(self, ranking: Ranking) -> int:
        """Return how many users are listed."""
        ...

    def page(self, ranking: Ranking, offset: int, limit: int) -> list[Place]:
        """Return `limit` lines from the top, after the first `offset`."""
        ...

    def around(self, ranking: Ranking, user_id: str, count: int) -> list[Place]:
        """Return `count` lines with the user in the middle, shifted at the ends; none for one who is not listed."""
        ...

    def ranks(self, ranking: Ranking, user_ids: Sequence[str]) -> dict[str, int]:
        """Return the ranks of those of these users who are listed."""
        ...


class Progress(Protocol):
    """Where long work says how far it is: a bar in a terminal, or nothing."""

    def __call__(self, what: str, unit: str) -> Callable[[int, int | None], object]:
        """Begin a step; return what takes how much is done, and how much there is to do where that is known."""
        ...


class Recorded(NamedTuple):
    """What came of a batch that was committed, since when it was under way (ns), and whose requests it held."""

    began_at: int
    callers: Sequence[object]
    applied: int
    duplicates: int
    refused: int


class Observer(Protocol):
    """Who is told what an engine does, to count and trace it. Called from lanes, so it is quick and raises nothing."""

    def caller(self) -> object:
        """Return what to remember of whoever hands requests over here; it comes back with their batch."""
        ...

    def committed(self, batch: Recorded) -> None:
        """Take notice of a batch, before its callers are answered."""
        ...

    def projected(self, rows: int, began_at: int) -> None:
        """Take notice that rows of the journal came onto the boards, since `began_at` (ns)."""
        ...
