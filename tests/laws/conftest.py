"""How many examples the laws try: few and always the same ones by default, many and new ones with `thorough`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("thorough", max_examples=2_000, derandomize=False)


def examples(count: int):
    """
    Return settings for a law that tries `count` examples, and as many times more as the profile tries than the default.

    `pytest tests/laws --hypothesis-profile thorough` tries twenty times as many, new ones each time.
    """
    profile = settings.get_profile("thorough")
    is_thorough = settings.default.max_examples == profile.max_examples
    return settings(
        max_examples=count * profile.max_examples // 100 if is_thorough else count,
        deadline=None,
        derandomize=not is_thorough,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
