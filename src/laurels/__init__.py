"""Laurels: the gamification engine for Python applications."""

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
