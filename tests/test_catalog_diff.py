"""What differs between two catalogs, entry by entry and field by field."""

import pytest

from laurels.catalog_diff import Difference, differences
from laurels.catalog_file import parse_catalog
from tests.conftest import BASE

TEXT = (
    BASE
    + """
[metrics]
posts = { name = "Posts" }
[[rules]]
id = "post"
on = "post"
xp = 10
metrics = { posts = 1 }
[[rules]]
id = "extra"
on = "post"
xp = 5
[[achievements]]
code = "TEN"
when = { posts = 10 }
"""
)
EXTRA = '[[rules]]\nid = "extra"\non = "post"\nxp = 5\n'


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("", "", [], id="nothing"),
        pytest.param(
            "xp = 10", "xp = 20", [Difference(kind="changed", path="rules[post].xp", before=10, after=20)], id="a-field"
        ),
        pytest.param(
            'name = "Posts"',
            'name = "Texts"',
            [Difference(kind="changed", path="metrics.posts.name", before="Posts", after="Texts")],
            id="a-field-of-a-table",
        ),
        pytest.param(
            "xp = 10\n",
            "xp = 10\nlimit = { times = 1, per = 'day' }\n",
            [Difference(kind="added", path="rules[post].limit", after={"times": 1, "per": "day"})],
            id="a-field-more",
        ),
        pytest.param(EXTRA, "", [Difference(kind="removed", path="rules[extra]")], id="an-entry-less"),
        pytest.param(
            "[[achievements]]",
            '[[achievements]]\ncode = "ONE"\nwhen = { posts = 1 }\n[[achievements]]',
            [Difference(kind="added", path="achievements[ONE]")],
            id="an-entry-in-between",
        ),
        pytest.param(
            'code = "TEN"',
            'code = "DIX"',
            [
                Difference(kind="added", path="achievements[DIX]"),
                Difference(kind="removed", path="achievements[TEN]"),
            ],
            id="another-code",
        ),
        pytest.param(
            "[[achievements]]",
            '[[quests]]\ncode = "Q"\ntype = "daily"\ngoals = { posts = 1 }\n[[achievements]]',
            [Difference(kind="added", path="quests[Q]")],
            id="the-first-of-a-section",
        ),
    ],
)
def test_a_change_is_one_difference(old, new, expected):
    after = TEXT.replace(old, new) if old else TEXT
    assert differences(parse_catalog(TEXT), parse_catalog(after)) == expected


def test_the_order_of_entries_is_a_difference():
    """Rules act in the order of the catalog."""
    first, rest = TEXT.split("[[rules]]", 1)
    after = first + EXTRA + "[[rules]]" + rest.replace(EXTRA, "")
    assert differences(parse_catalog(TEXT), parse_catalog(after)) == [
        Difference(kind="changed", path="order of rules", before=["post", "extra"], after=["extra", "post"])
    ]


def test_another_way_of_writing_is_no_difference():
    after = TEXT.replace("metrics = { posts = 1 }", "[rules.metrics]\nposts = 1").replace("# ", "#  ")
    assert differences(parse_catalog(TEXT), parse_catalog(after)) == []
