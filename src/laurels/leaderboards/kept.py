"""What a board outside of the database says of itself: up to where it is filled, and whom it may serve."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from laurels.core.errors import Unavailable
from laurels.leaderboards.scores import definition

if TYPE_CHECKING:
    from laurels.core.catalog import Catalog, Leaderboard


class NotServing(Unavailable):
    """The board in Redis is empty, of another epoch or definition, or not yet filled."""

    def __init__(self, code: str) -> None:
        super().__init__(
            "boards_rebuilding", f"The board {code!r} is being filled in Redis; try again in a moment.", retryable=True
        )


class State(NamedTuple):
    """
    What a board's cursor says; `seq` is UNFILLED while it is being loaded.

    `hidden` is how many users are marked as hidden; `hides` counts the marks that were set and taken away.
    """

    stamp: str
    token: str
    seq: int
    hides: str
    serves: str
    hidden: int

    @property
    def fence(self) -> str:
        """Return what must not have changed when a write that rests on this state is made."""
        return f"{self.token} {self.seq if self.token else ''} {self.hides}"


def stamp(board: Leaderboard, catalog: Catalog, epoch: str) -> str:
    """Return whom a board serves: readers of this database since its epoch began, under this definition."""
    return blake2b(f"{epoch} {definition(board, catalog)}".encode(), digest_size=12).hexdigest()
