"""
Laurels: the gamification engine for Python applications.

Nothing runs at import: a public name brings its module along when it is first asked for. So `laurels --help` does not
wait for a database driver, nor does an application that only makes events.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laurels.core.catalog import Catalog
    from laurels.core.changes import Change, Outcome, Skip
    from laurels.core.commands import (
        AcceptQuest,
        Adjust,
        AwardXp,
        Capture,
        ClaimQuest,
        Credit,
        Hold,
        Refund,
        Release,
        Spend,
        Transfer,
    )
    from laurels.core.errors import (
        CatalogInvalid,
        Conflict,
        InsufficientFunds,
        InvalidInput,
        LaurelsError,
        Problem,
        SettingInvalid,
        Unavailable,
        Unknown,
    )
    from laurels.core.events import Event
    from laurels.core.profile import Profile
    from laurels.engine import Engine, open  # noqa: A004  `laurels.open` is the name that fits

__version__ = "0.1.0"

__all__ = [
    "AcceptQuest",
    "Adjust",
    "AwardXp",
    "Capture",
    "Catalog",
    "CatalogInvalid",
    "Change",
    "ClaimQuest",
    "Conflict",
    "Credit",
    "Engine",
    "Event",
    "Hold",
    "InsufficientFunds",
    "InvalidInput",
    "LaurelsError",
    "Outcome",
    "Problem",
    "Profile",
    "Refund",
    "Release",
    "SettingInvalid",
    "Skip",
    "Spend",
    "Transfer",
    "Unavailable",
    "Unknown",
    "__version__",
    "open",
]

_MODULES = {
    "laurels.core.catalog": {"Catalog"},
    "laurels.core.changes": {"Change", "Outcome", "Skip"},
    "laurels.core.commands": {
        "AcceptQuest",
        "Adjust",
        "AwardXp",
        "Capture",
        "ClaimQuest",
        "Credit",
        "Hold",
        "Refund",
        "Release",
        "Spend",
        "Transfer",
    },
    "laurels.core.errors": {
        "CatalogInvalid",
        "Conflict",
        "InsufficientFunds",
        "InvalidInput",
        "LaurelsError",
        "Problem",
        "SettingInvalid",
        "Unavailable",
        "Unknown",
    },
    "laurels.core.events": {"Event"},
    "laurels.core.profile": {"Profile"},
    "laurels.engine": {"Engine", "open"},
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(module), name)
            return value
    raise AttributeError(f"module 'laurels' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
