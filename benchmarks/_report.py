"""Figures as a table to look at and as `benchmarks/results/NAME.json`, in the form the README there describes."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement: its value, the floor beside it in the same run, their ratio, and what it should reach."""

    figure: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    target: str = ""
    method: str = ""


def report(name: str, figures: list[Figure], *, keep: bool = True) -> None:
    """Write the results, unless they are not worth keeping, and show them."""
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    table = Table(title=f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for column in ("figure", "value", "floor", "ratio", "target"):
        table.add_column(column, justify="left" if column in ("figure", "target") else "right")
    for figure in figures:
        table.add_row(
            figure.figure,
            f"{figure.value:,.4g} {figure.unit}" if figure.value < 100 else f"{figure.value:,.0f} {figure.unit}",  # noqa: PLR2004
            "" if figure.floor is None else f"{figure.floor:,.0f}",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.target,
        )
    Console().print(table)
