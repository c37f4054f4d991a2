"""Some hundred runs of the simulation, the same ones each time; and does it find the bugs that are put in its way?"""

from __future__ import annotations

import pytest

from tests.simulation.auditor import simulate
from tests.simulation.mutants import MUTANTS

SEEDS = range(200)
SEEDS_PER_TEST = 50
#: Twice what the hardest to find of them took.
SEEDS_FOR_A_MUTANT = 600


@pytest.mark.parametrize("first", SEEDS[::SEEDS_PER_TEST])
def test_whatever_happens_no_law_is_broken(first):
    for seed in range(first, first + SEEDS_PER_TEST):
        assert error_of(seed) is None, f"Again: python -m tests.simulation --seed {seed}"


def test_the_same_seed_is_the_same_run():
    assert simulate(7).told == simulate(7).told


@pytest.mark.parametrize("name", MUTANTS)
def test_a_bug_on_purpose_is_found(name):
    with MUTANTS[name]():
        assert any(error_of(seed) for seed in range(SEEDS_FOR_A_MUTANT))


def error_of(seed: int) -> BaseException | None:
    try:
        simulate(seed)
    except Exception as error:  # noqa: BLE001  a mutant may break anything
        return error
    return None
