"""Which level does this XP reach, and what does reaching it pay? (SEMANTICS 5)"""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurels.core.changes import LevelLost, LevelReached

if TYPE_CHECKING:
    from laurels.core.catalog import Levels
    from laurels.core.draft import Draft


def settle(draft: Draft, levels: Levels) -> None:
    """
    Bring the level in line with the XP, one level at a time.

    Every level passed is reported in order and paid the first time it is reached: its bonus XP, which can reach the
    next one, then its reward. A level lost pays nothing back.
    """
    state = draft.state
    level = state.value("level")
    while (reached := levels.level(state.value("xp"))) != level:
        if reached < level:
            draft.changes.append(LevelLost(level))
            level = draft.add("level", -1)
            continue
        level = draft.add("level", 1)
        draft.changes.append(LevelReached(level, levels.title(level)))
        if level > state.level_paid:
            state.level_paid = level
            rule = f"level:{level}"
            draft.award_xp(levels.bonus_xp, rule)
            draft.pay(levels.reward_at(level), rule)
