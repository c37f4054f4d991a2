"""
Draw what `results/` holds and bring `docs/benchmarks.md` up to date: the end of every `./run bench`.

A picture has its own background, so that it can be read on light pages and on dark ones, and names no font that a
reader would have to fetch. The same results give the same file, which names its results by their fingerprint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks._page import BARS, PICTURES, file_of, fingerprint, in_signs, shown
from benchmarks._results import figures, keep_machine, kept_lines, times_kept
from docs import generate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

    from benchmarks._report import Figure

PAGE = generate.DOCS / "benchmarks.md"
PAPER, INK, FAINT = "#f7f8fa", "#22272e", "#c9ced6"
KEPT, MISSED = "#2f7d4f", "#c2571a"
COLOURS = ("#2a6fb0", "#c2571a", "#2f7d4f")
WIDTH = 9.0
BAR_HEIGHT = 0.62
LABEL_LENGTH_MAX = 58
BEHIND_MAX_S = 2.0
STYLE: dict[RcKeyType, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "laurels",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
}


def main() -> None:
    """Draw every picture there are results for, and write the page."""
    keep_machine()
    for name in PICTURES:
        if fingerprint(name):
            with mpl.rc_context(STYLE):
                save(drawn(name), name)
    PAGE.write_text(generate.updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def save(drawing: Drawing, name: str) -> None:
    """Write a picture without the time and the program that made it, which would make each run's another file."""
    about = {"Date": None, "Creator": None, "Title": PICTURES[name], "Description": fingerprint(name)}
    drawing.savefig(file_of(name), format="svg", metadata=about, bbox_inches="tight", pad_inches=0.2)


def drawn(name: str) -> Drawing:
    """Return a picture of what was measured last."""
    if name in BARS:
        return bars([figure for each in BARS[name] for figure in figures(each)])
    return behind_over_time() if name == "sustained" else cost_over_users()


def bars(measured: list[Figure]) -> Drawing:
    """Return each figure that has a target as a multiple of it: to the right of the target is kept, to the left not."""
    rows = [(figure, times) for figure in measured if (times := times_kept(figure)) is not None]
    drawing = Drawing(figsize=(WIDTH, 1 + BAR_HEIGHT * len(rows)))
    axes = drawing.subplots()
    places = range(len(rows))
    colours = [KEPT if times >= 1 else MISSED for _, times in rows]
    axes.barh(places, [times - 1 for _, times in rows], left=1, color=colours, height=0.5)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(places, [wrapped(figure.figure) for figure, _ in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(min([0.5, *(0.8 * times for _, times in rows)]), 2.2 * max([1.0, *(times for _, times in rows)]))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda times, _: f"{times:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("times the target; to the right is better, for all")
    for place, (figure, times) in zip(places, rows, strict=True):
        at = max(times, 1.0), place
        axes.annotate(said(figure), at, xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    return drawing


def said(figure: Figure) -> str:
    """Return what was measured and what was promised, in few words."""
    is_value = figure.ratio is None or "×" not in in_signs(figure.target)
    measured = f"{shown(figure.value)} {figure.unit}" if is_value else f"{figure.ratio:.3g} ×"
    return f"{measured}   ({in_signs(figure.target)})"


def wrapped(text: str) -> str:
    """Return a label on two lines at most, broken near its middle, where it is long."""
    if len(text) <= LABEL_LENGTH_MAX:
        return text
    at = min((n for n, letter in enumerate(text) if letter == " "), key=lambda n: abs(n - len(text) // 2))
    return f"{text[:at]}\n{text[at + 1 :]}"


def behind_over_time() -> Drawing:
    """Return how far the boards in Redis were behind the journal, second by second."""
    drawing = Drawing(figsize=(WIDTH, 3.4))
    axes = drawing.subplots()
    lines = kept_lines("sustained")
    for colour, (line, points) in zip(COLOURS, lines.items(), strict=False):
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.2, label=line)
    axes.axhline(BEHIND_MAX_S, color=INK, linewidth=1, linestyle="--", label="target")
    axes.set_ylim(0, 1.1 * max([BEHIND_MAX_S, *(y for points in lines.values() for _, y in points)]))
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds of the run")
    axes.set_ylabel("seconds behind")
    legend(axes)
    return drawing


def cost_over_users() -> Drawing:
    """Return what an event costs in Python, in PostgreSQL and together, over how many users there are."""
    drawing = Drawing(figsize=(WIDTH, 3.4))
    axes = drawing.subplots()
    lines = kept_lines("scale")
    for colour, (line, points) in zip(COLOURS, lines.items(), strict=False):
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", label=line)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda users, _: f"{users:,.0f}"))
    axes.set_ylim(0, 1.15 * max(y for points in lines.values() for _, y in points))
    axes.set_xlabel("users")
    axes.set_ylabel("µs of processor time an event")
    legend(axes)
    return drawing


def legend(axes: Axes) -> None:
    """Say which line is which, and help the eye along."""
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=4)


if __name__ == "__main__":
    main()
