"""SEMANTICS 9 with the boards in Redis: the tests are those of tests/semantics, on an engine that keeps them there."""

import pytest

from tests.semantics.test_09_leaderboards import *  # noqa: F403

# It draws days of its own for each example, and there are not enough; test_same_answers.py draws for all places.
del globals()["test_pages_ranks_surroundings_and_movement_are_those_of_a_plain_sorted_list"]


@pytest.fixture
def place() -> str:
    return "redis-cluster"
