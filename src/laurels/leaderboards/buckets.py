"""
How many stand above a score, without counting them one by one: a histogram over whole numbers of both signs.

Buckets are those of an HDR histogram: numbers below 4,096 have one each, above that a bucket is never wider than a
2,048th of its numbers. 128 of these fine buckets make a coarse one. So the users above a score are the sum of at most
some hundred coarse buckets, a hundred fine ones, and the different scores inside one fine bucket, which have counts of
their own where a bucket is wider than one number. Buckets keep the order of scores. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

COARSE, FINE, EXACT = 1, 2, 3
_FINE_BITS = 11
_HALF = 1 << _FINE_BITS
#: Scores nearer to zero than this have a fine bucket each.
EXACT_BELOW = 2 * _HALF
_COARSE_BITS = 7


#: Its level and its number; an exact bucket's number is the score.
Bucket = tuple[int, int]


class Above(NamedTuple):
    """Which buckets hold the scores above one: the bounds are themselves excluded."""

    coarse: int
    fine: int
    fine_end: int
    exact_end: int


def fine_of(score: int) -> int:
    """Return the fine bucket of a score."""
    if -EXACT_BELOW < score < EXACT_BELOW:
        return score
    size = abs(score)
    shift = size.bit_length() - _FINE_BITS - 1
    bucket = shift * _HALF + (size >> shift)
    return bucket if score >= 0 else -bucket


def fine_max(fine: int) -> int:
    """Return the largest score of a fine bucket."""
    if fine < 0:
        return -_least(-fine)
    return _least(fine + 1) - 1


def _least(fine: int) -> int:
    """Return the number nearest to zero of a bucket of numbers above zero."""
    shift = max(0, fine // _HALF - 1)
    return (fine - shift * _HALF) << shift


def coarse_of(fine: int) -> int:
    """Return the coarse bucket that a fine one belongs to."""
    return fine >> _COARSE_BITS


def buckets_of(score: int, *, always_exact: bool) -> list[Bucket]:
    """Return where a score is counted: in a coarse and a fine bucket, and by itself where that tells it apart."""
    fine = fine_of(score)
    if always_exact or not -EXACT_BELOW < score < EXACT_BELOW:
        return [(COARSE, fine >> _COARSE_BITS), (FINE, fine), (EXACT, score)]
    return [(COARSE, fine >> _COARSE_BITS), (FINE, fine)]


def above(score: int) -> Above:
    """Return which buckets together hold the scores above this one."""
    fine = fine_of(score)
    coarse = coarse_of(fine)
    return Above(coarse, fine, (coarse + 1) << _COARSE_BITS, fine_max(fine) + 1)


def fines_of(coarse: int) -> tuple[int, int]:
    """Return the first fine bucket of a coarse one, and the first after it."""
    return coarse << _COARSE_BITS, (coarse + 1) << _COARSE_BITS
