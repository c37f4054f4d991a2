"""
The seams, on one screen: what a store must do, and where long work says how far it is.

Everything else reads through SQLAlchemy, the same on every database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from laurels.core.catalog import Catalog
    from laurels.core.decide import Context, Decision, RequestKey, States, Touches


class Transaction(Protocol):
    """One write transaction, which holds whatever it touches until it ends. `connection` is for rare statements."""

    @property
    def connection(self) -> Connection:
        """Return the connection, for statements that are the same on every database."""
        ...

    def revision(self) -> int:
        """Return the number of the current catalog revision, 0 for none."""
        ...

    def load(self, touched: Touches, keys: Collection[RequestKey], catalog: Catalog) -> Context:
        """Load everything that deciding these requests needs to know."""
        ...

    def remember(self, context: Context, user_ids: Iterable[str], catalog: Catalog) -> None:
        """Give the context the memories of users with late requests, and their documents what they had forgotten."""
        ...

    def save(self, decisions: Sequence[Decision], states: States) -> None:
        """Write what was decided."""
        ...


class Store(Protocol):
    """
    A database.

    `read` serves readers one snapshot, `write` opens a transaction that commits at its end or not at all.
    """

    def read(self) -> AbstractContextManager[Connection]:
        """Open a connection for reading. Raises Unavailable where the database cannot be read."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a write transaction. Raises Unavailable where the database cannot be written."""
        ...

    def close(self) -> None:
        """Give up every connection."""
        ...


class Progress(Protocol):
    """Where long work says how far it is: a bar in a terminal, or nothing."""

    def __call__(self, what: str, unit: str) -> Callable[[int, int | None], object]:
        """Begin a step; return what takes how much is done, and how much there is to do where that is known."""
        ...
