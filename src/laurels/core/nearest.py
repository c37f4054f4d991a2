"""The name that somebody may have meant by one that nothing has."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LISTED_MAX = 10
_SHOWN_LENGTH_MAX = 60
#: No code is longer, and comparing takes time.
_COMPARED_LENGTH_MAX = 100


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like this one, upper and lower case alike; None if none is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence about it, such as `unknown metric 'post'; did you mean 'posts'?`."""
    names = sorted(known)
    found = nearest(name[:_COMPARED_LENGTH_MAX], names)
    if found is not None:
        hint = f"did you mean {found!r}?"
    elif not names:
        hint = "there is none"
    elif len(names) <= _LISTED_MAX:
        hint = f"known: {', '.join(names)}"
    else:
        hint = f"none of the {len(names)} known ones is like it"
    return f"unknown {kind} {name[:_SHOWN_LENGTH_MAX]!r}; {hint}"
