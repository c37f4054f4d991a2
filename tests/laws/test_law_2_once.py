"""Law 2. A request is applied once, however often and through however many engines; all senders hear the same."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import laurels
from laurels import LaurelsError, Outcome
from laurels.core.periods import to_datetime
from tests.conftest import Clock
from tests.laws.conftest import examples
from tests.laws.play import apply, cuts, documents_of, one_by_one, play, stamped, without_expiry
from tests.laws.strategies import Asked, Setting, catalog_trees, parsed, streams
from tests.laws.world import World


def sent_again(draw, stream) -> list:
    """The stream with requests sent a second and a third time, at once or later."""
    sent: list = []
    for step in stream:
        sent.append(step)
        asked = [earlier for earlier in sent if isinstance(earlier, Asked)]
        if asked:
            sent += [again._replace(now=step.now) for again in draw(st.lists(st.sampled_from(asked), max_size=2))]
    return sent


def accepted_of(tree, stream) -> list:
    """The steps that count: settings, and each request when it was applied."""
    answers = play(World(parsed(tree)), stream, one_by_one(stream))
    return [
        step
        for step, answer in zip(stream, answers, strict=True)
        if isinstance(step, Setting) or (isinstance(answer, Outcome) and answer.status == "applied")
    ]


def as_first_told(answers) -> dict:
    """Each request's outcome by its key; every answer to it must be that, applied once and duplicates for the rest."""
    first: dict = {}
    for answer in answers:
        if isinstance(answer, Outcome):
            key = (answer.user_id, answer.event_id)
            assert (answer.status == "duplicate") == (key in first)
            assert msgspec.structs.replace(answer, status="applied") == first.setdefault(key, answer)
    return first


@examples(100)
@given(st.data())
def test_law_2_a_request_counts_once_in_whichever_batch_it_comes_again(data):
    tree = data.draw(catalog_trees(), label="catalog")
    once = without_expiry(accepted_of(tree, without_expiry(data.draw(streams(tree), label="stream"))))
    often = sent_again(data.draw, once)
    alone, world = World(parsed(tree)), World(parsed(tree))
    expected = as_first_told(play(alone, once, one_by_one(once)))
    assert as_first_told(play(world, often, data.draw(cuts(often), label="cuts"))) == expected
    assert world.documents == alone.documents


@examples(100)
@given(st.data())
def test_law_2_a_refused_request_leaves_no_trace(data):
    tree = data.draw(catalog_trees(), label="catalog")
    stream = without_expiry(data.draw(streams(tree), label="stream"))
    accepted = accepted_of(tree, stream)
    alone, world = World(parsed(tree)), World(parsed(tree))
    play(alone, accepted, one_by_one(accepted))
    play(world, stream, data.draw(cuts(stream), label="cuts"))
    assert world.documents == alone.documents


@examples(10)
@given(st.data())
def test_law_2_two_engines_on_one_file_tell_every_sender_the_same(new_database, data):
    tree = data.draw(catalog_trees(), label="catalog")
    stream = stamped(data.draw(streams(tree), label="stream"))
    clock, url = Clock(to_datetime(stream[-1].now)), new_database()
    with laurels.open(url, catalog=parsed(tree), clock=clock) as one, laurels.open(url, clock=clock) as other:
        answers = apply(one, stream)
        documents = documents_of(one)
        kept = [(s, a) for s, a in zip(stream, answers, strict=True) if isinstance(a, Outcome)]
        repeated = apply(other, [step for step, _ in kept])
        assert [answer.status for answer in repeated] == ["duplicate"] * len(kept)
        for again, (_, first) in zip(repeated, kept, strict=True):
            assert msgspec.structs.replace(again, status=first.status) == first
        assert documents_of(other) == documents


def test_law_2_a_batch_with_one_reused_id_records_nothing(new_database):
    clock = Clock()
    with laurels.open(new_database(), catalog="community", clock=clock) as engine:
        post = laurels.Event("post.created", user="ada", id="p1", data={})
        other = laurels.Event("post.created", user="ada", id="p1", data={"words": 3})
        with pytest.raises(LaurelsError, match="p1") as refused:
            engine.record([laurels.Event("post.created", user="bob", id="p1", data={}), post, other])
        assert refused.value.code == "request_id_reused"
        assert list(engine.users()) == []
