"""
What differs between two catalogs, entry by entry and field by field.

Entries of arrays are known by their id or code, so that one put in between is one difference. Their order counts too:
it is the order in which rules act and achievements unlock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laurels.core.catalog import Catalog


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """
    One difference: `path` is an entry, such as `rules[post-create]`, or a field in it.

    `before` and `after` are what stands there; an entry as a whole that is `added` or `removed` shows neither.
    """

    kind: Literal["added", "removed", "changed"]
    path: str
    before: Any = None
    after: Any = None


def differences(before: Catalog, after: Catalog) -> list[Difference]:
    """Return what changes from one catalog to the other, in the order of sections and names."""
    old, new = msgspec.json.decode(before.source), msgspec.json.decode(after.source)
    return [
        found for section in sorted({*old, *new}) for found in _section(section, old.get(section), new.get(section))
    ]


def _section(section: str, old: Any, new: Any) -> Iterator[Difference]:
    if not isinstance(old or new, list):
        yield from _table(section, old or {}, new or {})
        return
    entries, later = _by_name(old or []), _by_name(new or [])
    for name in sorted({*entries, *later}):
        path = f"{section}[{name}]"
        if name not in later:
            yield Difference(kind="removed", path=path)
        elif name not in entries:
            yield Difference(kind="added", path=path)
        else:
            yield from _table(path, entries[name], later[name])
    order = [name for name in entries if name in later]
    if order != (now := [name for name in later if name in entries]):
        yield Difference(kind="changed", path=f"order of {section}", before=order, after=now)


def _table(path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _table(f"{path}.{name}", before, after)
        elif before != after:
            kind: Literal["added", "removed", "changed"] = "changed"
            if name not in old or name not in new:
                kind = "added" if name in new else "removed"
            yield Difference(kind=kind, path=f"{path}.{name}", before=before, after=after)


def _by_name(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry.get("id") or entry["code"]: entry for entry in entries}
