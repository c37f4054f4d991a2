"""Streams of events as a community sends them, the same for a seed."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from laurels import Event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STARTS_AT = datetime(2026, 3, 1, tzinfo=UTC)

#: What a hundred events are. Reactions and follows touch a second user: a quarter of all.
MIX = [
    ("post.created", 15),
    ("comment.created", 35),
    ("reaction.added", 20),
    ("user.followed", 5),
    ("user.login", 25),
]
REACTIONS = [("reaction.added", 1)]

#: How much an active user does in a day, on average.
EVENTS_A_DAY = 10


class Pairs(Protocol):
    """Who does something and whom it may concern, again and again: numbers below `users`, never the same."""

    def __call__(self, dice: random.Random, users: int, /) -> Iterator[tuple[int, int]]:
        """Yield pairs for ever."""
        ...


def uniform(dice: random.Random, users: int) -> Iterator[tuple[int, int]]:
    """Draw everybody as often as anybody else."""
    while True:
        user = dice.randrange(users)
        yield user, (user + 1 + dice.randrange(users - 1)) % users


def skewed(dice: random.Random, users: int) -> Iterator[tuple[int, int]]:
    """Draw by Zipf's law: the second half as often as the first, the third a third as often; they live apart."""
    weights = list(itertools.accumulate(1 / rank for rank in range(1, users + 1)))
    places = dice.sample(range(users), users)
    while True:
        user, *others = dice.choices(places, cum_weights=weights, k=8)
        yield user, next((other for other in others if other != user), (user + 1) % users)


def from_one(dice: random.Random, users: int) -> Iterator[tuple[int, int]]:
    """Let the first user do everything."""
    while True:
        yield 0, 1 + dice.randrange(users - 1)


def to_one(dice: random.Random, users: int) -> Iterator[tuple[int, int]]:
    """Let everybody do what concerns the first user."""
    while True:
        yield 1 + dice.randrange(users - 1), 0


def events(
    count: int,
    *,
    users: int,
    seed: int = 1,
    starts_at: datetime | None = STARTS_AT,
    pairs: Pairs = uniform,
    mix: Sequence[tuple[str, int]] = MIX,
) -> Iterator[Event]:
    """Yield events of users drawn by `pairs`, each of whom has ten a day on average, in order of time."""
    dice = random.Random(seed)
    types = dice.choices([name for name, _ in mix], [weight for _, weight in mix], k=count)
    step = timedelta(days=1) / (users * EVENTS_A_DAY)
    for number, (kind, (user, other)) in enumerate(zip(types, pairs(dice, users), strict=False)):
        yield Event(
            kind,
            user=user_id(user),
            id=f"event-{seed}-{number}",
            time=None if starts_at is None else starts_at + number * step,
            data=_data(kind, number, user_id(other), dice),
        )


def user_id(number: int) -> str:
    """Return the id of a user."""
    return f"user-{number:07}"


def _data(kind: str, number: int, other: str, dice: random.Random) -> dict[str, str | int] | None:
    match kind:
        case "post.created":
            return {"post": f"post-{number}", "words": dice.randrange(20, 900)}
        case "comment.created":
            return {"comment": f"comment-{number}", "post": f"post-{dice.randrange(number + 1)}"}
        case "reaction.added":
            return {"author": other, "target": f"post-{dice.randrange(number + 1)}"}
        case "user.followed":
            return {"user": other}
        case _:
            return None
