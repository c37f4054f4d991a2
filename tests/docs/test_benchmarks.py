"""The benchmark page says what was measured: every benchmark has its place, pictures show the figures of now."""

import re

import pytest

from benchmarks import _page
from benchmarks._report import Figure
from benchmarks._results import Target, is_kept, target, times_kept
from docs.generate import DOCS

PAGE = (DOCS / "benchmarks.md").read_text(encoding="utf-8")


def figure(target, value=6.0, ratio=None):
    return Figure(figure="", value=value, unit="", ratio=ratio, target=target)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(">= 4 x", Target(4, at_least=True, of_ratio=True), id="ratio"),
        pytest.param(">= 30 x faster than count(*)", Target(30, at_least=True, of_ratio=True), id="ratio-and-words"),
        pytest.param(">= 0.25 x", Target(0.25, at_least=True, of_ratio=True), id="fraction"),
        pytest.param(">= 100,000 members/s", Target(100_000, at_least=True, of_ratio=False), id="value"),
        pytest.param("<= 2 s", Target(2, at_least=False, of_ratio=False), id="at-most"),
        pytest.param("< 10 %", Target(10, at_least=False, of_ratio=False), id="less-than"),
        pytest.param("0", Target(0, at_least=False, of_ratio=False), id="nothing-at-all"),
        pytest.param("as for 10,000 events", None, id="words"),
        pytest.param("", None, id="none"),
    ],
)
def test_a_target_is_understood_as_it_is_written(words, expected):
    assert target(words) == expected


@pytest.mark.parametrize(
    ("measured", "kept", "times"),
    [
        pytest.param(figure(">= 4 x", ratio=6.0), True, 1.5, id="more-than-asked"),
        pytest.param(figure(">= 4 x", ratio=3.0), False, 0.75, id="less-than-asked"),
        pytest.param(figure("<= 3 %", value=6.0), False, 0.5, id="above-its-limit"),
        pytest.param(figure("<= 12 s", value=6.0), True, 2.0, id="below-its-limit"),
        pytest.param(figure("<= 2 s", value=0.0), True, None, id="nothing-has-no-multiple"),
        pytest.param(figure("0", value=0.0), True, None, id="none-allowed-and-none"),
        pytest.param(figure("0", value=1.0), False, None, id="none-allowed-and-one"),
        pytest.param(figure(""), None, None, id="nothing-promised"),
    ],
)
def test_a_figure_keeps_its_target_by_a_factor_above_one(measured, kept, times):
    assert (is_kept(measured), times_kept(measured)) == (kept, times)


def test_every_benchmark_has_its_figures_on_the_page():
    assert sorted(re.findall(r"<!-- generated: figures (\w+) -->", PAGE)) == _page.NAMES


def test_every_picture_has_its_place_on_the_page():
    assert set(re.findall(r"<!-- generated: picture (\w+) -->", PAGE)) == set(_page.PICTURES)


@pytest.mark.parametrize("name", _page.PICTURES)
def test_a_picture_shows_the_figures_of_now_and_needs_nothing_from_elsewhere(name):
    wanted = _page.fingerprint(name)
    if not wanted:
        assert not _page.file_of(name).exists()
        return
    picture = _page.file_of(name).read_text(encoding="utf-8")
    assert f"<dc:description>{wanted}</dc:description>" in picture, "run any benchmark with ./run bench"
    assert re.findall(r"<script|@import|@font-face|url\((?!#)|<image", picture) == []
