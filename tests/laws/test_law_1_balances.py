"""
Law 1. For every user and unit: balance = sum of entries; versions have no gap; each entry's balance chains to the next;
level = f(xp).
"""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

import laurels
from laurels.core.changes import CurrencyCredited, CurrencyDebited, CurrencyHeld, CurrencyReleased, XpAwarded
from laurels.core.periods import to_datetime
from laurels.core.profile import profile_of
from tests.conftest import Clock
from tests.laws import model
from tests.laws.conftest import examples
from tests.laws.play import apply, cuts, play
from tests.laws.strategies import catalog_trees, parsed, streams
from tests.laws.world import World


@examples(100)
@given(st.data())
def test_law_1_every_balance_is_the_sum_of_its_entries(data):
    tree = data.draw(catalog_trees(), label="catalog")
    stream = data.draw(streams(tree), label="stream")
    world = World(parsed(tree))
    play(world, stream, data.draw(cuts(stream), label="cuts"))
    for user_id in world.documents:
        state = world.state(user_id)
        balances = chained_balances(world, user_id)
        assert {"xp": 0} | balances == {"xp": state.value("xp"), **state.balances}
        assert [row.version for row in world.journal[user_id]] == list(range(1, state.version + 1))
        assert state.value("level") == model.level_of(tree, state.value("xp"))


def chained_balances(world: World, user_id: str) -> dict[str, int]:
    """Add up a user's entries, each of which must say what it left."""
    balances: dict[str, int] = defaultdict(int)
    for _, changes in world.changes_of(user_id):
        for change in changes:
            match change:
                case XpAwarded(amount=amount, total=left):
                    unit = "xp"
                case CurrencyCredited(currency=unit, amount=amount, balance=left):
                    pass
                case CurrencyReleased(currency=unit, amount=amount, balance=left):
                    pass
                case CurrencyDebited(currency=unit, amount=paid, balance=left):
                    amount = -paid
                case CurrencyHeld(currency=unit, amount=paid, balance=left):
                    amount = -paid
                case _:
                    continue
            balances[unit] += amount
            assert balances[unit] == left
    return balances


@examples(100)
@given(st.data())
def test_law_1_what_is_held_earned_and_spent_for_life_follows_from_the_entries(data):
    tree = data.draw(catalog_trees(), label="catalog")
    world = World(parsed(tree))
    stream = data.draw(streams(tree), label="stream")
    play(world, stream)
    for user_id in world.documents:
        kinds: dict[tuple[str, str], int] = defaultdict(int)
        for _, changes in world.changes_of(user_id):
            for change in changes:
                if isinstance(change, CurrencyCredited | CurrencyDebited):
                    kinds[change.currency, change.kind] += change.amount
                elif isinstance(change, CurrencyHeld | CurrencyReleased):
                    kinds[change.currency, change.type] += change.amount
        profile = profile_of(user_id, world.state(user_id), world.catalog, stream[-1].now)
        for currency, balance in profile.balances.items():
            spent = kinds[currency, "spend"] + kinds[currency, "capture"] - kinds[currency, "refund"]
            assert balance.lifetime_spent == spent
            assert balance.lifetime_earned == kinds[currency, "earn"]
            held = kinds[currency, "currency.held"] - kinds[currency, "currency.released"]
            assert world.state(user_id).held(currency) == held


@examples(15)
@given(st.data())
def test_law_1_holds_in_the_database_where_entries_and_balances_are_views(new_database, data):
    tree = data.draw(catalog_trees(), label="catalog")
    stream = data.draw(streams(tree), label="stream")
    clock = Clock(to_datetime(stream[-1].now))
    with laurels.open(new_database(), catalog=parsed(tree), clock=clock) as engine:
        apply(engine, stream)
        with engine.read() as connection:
            entries = connection.execute(
                text("SELECT user_id, unit, amount, balance FROM entries ORDER BY user_id, version, line")
            ).all()
            balances = connection.execute(text("SELECT user_id, unit, balance FROM balances")).all()
            versions = connection.execute(text("SELECT user_id, max(version), count(*) FROM journal GROUP BY 1")).all()
        sums: dict[tuple[str, str], int] = defaultdict(int)
        for user_id, unit, amount, balance in entries:
            sums[user_id, unit] += amount
            assert sums[user_id, unit] == balance
        assert {(user_id, unit): balance for user_id, unit, balance in balances} == sums
        assert [(user_id, rows) for user_id, _, rows in versions] == [(user_id, last) for user_id, last, _ in versions]
        for user_id in engine.users():
            profile = engine.profile(user_id)
            assert profile.xp == sums[user_id, "xp"]
            for currency, money in profile.balances.items():
                assert money.available == sums[user_id, currency] + released_by_now(engine, user_id, currency)


def released_by_now(engine: laurels.Engine, user_id: str, currency: str) -> int:
    """What expired holds have set free that no entry says yet."""
    query = text(
        "SELECT coalesce(sum(amount), 0) FROM holds WHERE user_id = :user AND currency = :currency"
        " AND ended IS NULL AND expires_at BETWEEN 1 AND :now"
    )
    with engine.read() as connection:
        return connection.scalar(query, {"user": user_id, "currency": currency, "now": engine.now()})
