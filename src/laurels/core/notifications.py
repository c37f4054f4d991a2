"""What a user is told: levels reached, achievements unlocked, quests completed, each with the words to show."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from laurels.core import periods
from laurels.core.changes import AchievementUnlocked, LevelReached, QuestCompleted

if TYPE_CHECKING:
    from laurels.core.catalog import Catalog
    from laurels.core.changes import Change
    from laurels.core.draft import Draft
    from laurels.core.periods import Instant

NotificationType = Literal["level_up", "achievement_unlocked", "quest_complete"]


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One line in a user's inbox, numbered 1, 2, 3 …; `data` is what programs need, such as the level or the code."""

    number: int
    type: NotificationType
    title: str
    message: str
    image: str
    data: dict[str, str | int]
    created_at: datetime
    read_at: datetime | None = None


#: What users are told of; everything else only shows in their profile.
_TOLD = (LevelReached, AchievementUnlocked, QuestCompleted)


def notify(draft: Draft, catalog: Catalog, now: Instant) -> list[Notification]:
    """Return the notifications that a request causes for one user, in the order in which things happened."""
    notifications = []
    for change in draft.changes:
        told = _words(change, catalog) if isinstance(change, _TOLD) else None
        if told is not None:
            draft.state.notified += 1
            kind, title, message, image, data = told
            notifications.append(
                Notification(
                    number=draft.state.notified,
                    type=kind,
                    title=title,
                    message=message,
                    image=image,
                    data=data,
                    created_at=periods.to_datetime(now),
                )
            )
    return notifications


def _words(change: Change, catalog: Catalog) -> tuple[NotificationType, str, str, str, dict[str, str | int]] | None:
    match change:
        case LevelReached(level=level, title=title):
            message = f"You are a {title} now." if title != catalog.levels.title(level - 1) else "Keep going!"
            return "level_up", f"Level {level} reached", message, "", {"level": level}
        case AchievementUnlocked(achievement=code, rarity=rarity, times=times):
            known = catalog.achievements[code]
            again = f" ({times} times)" if times > 1 else ""
            data: dict[str, str | int] = {"achievement": code, "rarity": rarity, "times": times}
            return "achievement_unlocked", f"{known.name}{again}", known.description, known.image or known.icon, data
        case QuestCompleted(quest=code, period=period):
            quest = catalog.quests[code]
            message = quest.description if quest.claim == "auto" else "Claim your reward."
            picture = quest.image or quest.icon
            return "quest_complete", quest.name, message, picture, {"quest": code, "period": period}
        case _:
            return None
