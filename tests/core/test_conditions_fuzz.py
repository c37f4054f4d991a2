"""Conditions that nobody would write, on data that nobody would send: refused or answered, and never slow."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laurels.catalog_file import parse_catalog
from laurels.core.conditions import TEXT_LENGTH_MAX, ConditionError, compile_condition
from laurels.core.errors import CatalogInvalid
from tests.core.test_conditions_differential import CONDITIONS, TOKENS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=3), values, max_size=4),
    max_leaves=20,
)
FIELDS = ["words", "ratio", "name", "title", "draft", "tags", "mixed", "author", "a", "b"]
DATA = st.none() | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=2), JSON, max_size=8)
EDGES = ["9223372036854775807", "-9223372036854775808", "0x", "1e400", "'\\ud800'", "r'", '"""', "\\", "\0", "é", "😀"]
TEXTS = (
    CONDITIONS
    | st.lists(st.sampled_from([*TOKENS, *EDGES, " ", "\n"]), max_size=60).map("".join)
    | st.tuples(CONDITIONS, st.sampled_from(TOKENS + EDGES), CONDITIONS).map("".join)
    | st.text(max_size=TEXT_LENGTH_MAX + 1)
)


@settings(max_examples=500)
@given(text=TEXTS, data=DATA, user=st.text(max_size=3))
def test_any_text_on_any_data_is_refused_or_answered(text, data, user):
    with suppress(ConditionError):
        detail = compile_condition(text).check(data, user, "post.created")
        assert detail is None or 0 < len(detail.encode()) < 1_000


@given(text=TEXTS, field=st.sampled_from(["when", "once_per", "xp", "to"]))
def test_any_text_in_a_catalog_is_refused_with_its_place_or_taken(text, field):
    rule = {"id": "rule", "on": "post.created", "xp": 1} | {field: text}
    try:
        parse_catalog(json.dumps({"rules": [rule]}), format="json")
    except CatalogInvalid as refused:
        assert {problem.path for problem in refused.problems} == {f"rules[0].{field}"}  # noqa: PT017


@pytest.mark.parametrize(
    ("term", "data"),
    [
        pytest.param("data.a in data.b", {"a": [1] * 149 + [2], "b": [[1] * 150] * 140}, id="lists-in-a-list"),
        pytest.param(
            "data.a == data.b", {"a": [1] * 16_000 + [2], "b": [1] * 16_000 + [3]}, id="equal-but-for-the-end"
        ),
        pytest.param("data.b in data.a", {"a": [0] * 30_000, "b": 1}, id="not-in-a-long-list"),
        pytest.param("data.a.contains(data.b)", {"a": "a" * 40_000, "b": "a" * 20_000 + "b"}, id="nearly-in-a-text"),
        pytest.param("double(data.a) > 1.0", {"a": "9" * 60_000}, id="a-long-number"),
        pytest.param("size(data.a + data.a) < 0", {"a": "a" * 32_000}, id="long-texts-joined"),
    ],
)
def test_as_much_as_fits_on_as_much_data_as_there_can_be_takes_a_moment(term, data):
    terms = [term]
    while True:
        try:
            condition = compile_condition(" || ".join([*terms, term]))
        except ConditionError:
            break
        terms.append(term)
    assert len(terms) > 15
    began_s = time.process_time()
    condition.check(data, "ada", "post.created")
    assert time.process_time() - began_s < 1
