"""The parts of `docs/benchmarks.md` that come from `results/`; `docs/generate.py` puts them in their places."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._results import figures, is_kept, kept_lines, kept_machine

if TYPE_CHECKING:
    from benchmarks._report import Figure

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs/images"
NAMES = sorted(path.stem for path in HERE.glob("[a-z]*.py"))

#: The pictures, with what they show to those who cannot see them.
PICTURES = {
    "postgres": "Bars: each figure on PostgreSQL as a multiple of its target",
    "boards": "Bars: each figure of the leaderboards as a multiple of its target",
    "service": "Bars: each figure of the service as a multiple of its target",
    "sustained": "Curve: how many seconds the boards in Redis were behind the journal, over the time of the run",
    "scale": "Curve: processor time of an event in Python and PostgreSQL, over the number of users",
}
#: Pictures of bars, with the benchmarks whose figures they show.
BARS = {
    "postgres": ("postgres", "postgres_lone", "postgres_streams", "tail", "sustained", "scale"),
    "boards": ("boards",),
    "service": ("service",),
}
_VALUES_SHOWN_WHOLE = 100


def figures_part(name: str) -> str:
    """Return the figures of a benchmark as a table, and how each was measured."""
    measured = figures(name)
    if not measured:
        return f"Not measured yet: `./run bench {name}`."
    head = "| | measured | floor | ratio | target | |\n|---|--:|--:|--:|---|---|"
    rows = (f"| {' | '.join(_cells(figure))} |" for figure in measured)
    methods = [plain(f"- {figure.figure}: {figure.method}.") for figure in measured if figure.method]
    return "\n".join([head, *rows, "", '??? note "How this was measured"', "", *(f"    {line}" for line in methods)])


def _cells(figure: Figure) -> tuple[str, ...]:
    kept = is_kept(figure)
    return (
        plain(figure.figure),
        f"{shown(figure.value)} {figure.unit}",
        "" if figure.floor is None else shown(figure.floor),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        plain(in_signs(figure.target)),
        "" if kept is None else "kept" if kept else "**missed**",
    )


def in_signs(target: str) -> str:
    """Return a target with the signs that results spell in ASCII."""
    return re.sub(r"(?<=\d) x(?!\S)", " ×", target).replace(">=", "≥").replace("<=", "≤")


def plain(text: str) -> str:
    """Return text that Markdown shows as it is, but for its code."""
    return re.sub(r"([|*])", r"\\\1", text)


def shown(value: float) -> str:
    """Return a value with about three digits."""
    return f"{value:,.0f}" if value >= _VALUES_SHOWN_WHOLE else f"{value:.3g}"


def missed_part(_: str) -> str:
    """Return every figure that misses its target."""
    lines = [
        f"- `{name}`: {plain(figure.figure)}: {shown(figure.value)} {figure.unit}"
        f"{'' if figure.ratio is None else f', ratio {figure.ratio:.2f}'}; target {plain(in_signs(figure.target))}."
        for name in NAMES
        for figure in figures(name)
        if is_kept(figure) is False
    ]
    unmeasured = [f"`{name}`" for name in NAMES if not figures(name)]
    if unmeasured:
        lines.append(f"- Not measured yet: {', '.join(unmeasured)}.")
    return "\n".join(lines) or "None."


def machine_part(_: str) -> str:
    """Return where the figures were measured."""
    machine = kept_machine()
    if machine is None:
        return "Not measured yet."
    return (
        f"Last measured on {machine.day}: {machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB of "
        f"memory, {machine.system}, Python {machine.python}, {', '.join(machine.servers)}."
    )


def picture_part(name: str) -> str:
    """Return a picture, where there is something to see on it."""
    return f"![{PICTURES[name]}](images/{file_of(name).name})" if fingerprint(name) else ""


def file_of(picture: str) -> Path:
    """Return where a picture is kept."""
    return IMAGES / f"bench-{picture}.svg"


def fingerprint(picture: str) -> str:
    """Return what names all that a picture shows, so that it tells whether it is up to date; empty for nothing."""
    shown = [figures(name) for name in BARS[picture]] if picture in BARS else kept_lines(picture)
    return blake2b(repr(shown).encode(), digest_size=12).hexdigest() if any(shown) else ""


PARTS = {"figures": figures_part, "missed": missed_part, "machine": machine_part, "picture": picture_part}
