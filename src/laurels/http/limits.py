"""How much one key may call: a fixed window per key, told in the standard headers (RateLimit, RateLimit-Policy)."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from limits import parse
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from laurels.core.errors import SettingInvalid

if TYPE_CHECKING:
    from laurels.http.auth import Caller
    from laurels.settings import Settings


class Limiter:
    """Counts calls in this process. `rate_limit` is the setting: `600/minute`, or empty for none."""

    def __init__(self, settings: Settings) -> None:
        try:
            self._limit = parse(settings.rate_limit) if settings.rate_limit else None
        except ValueError as error:
            raise SettingInvalid(f"rate_limit is no rate such as 600/minute: {error}") from None
        self._windows = FixedWindowRateLimiter(storage_from_string("memory://"))

    def take(self, caller: Caller) -> tuple[bool, dict[str, str]]:
        """Count a call; return whether it is within the limit, and the headers that say how it stands."""
        if self._limit is None:
            return True, {}
        is_within = self._windows.hit(self._limit, caller.name)
        ends_at, remaining = self._windows.get_window_stats(self._limit, caller.name)
        seconds = max(0, math.ceil(ends_at - time.time()))
        headers = {
            "RateLimit-Policy": f'"default";q={self._limit.amount};w={self._limit.get_expiry()}',
            "RateLimit": f'"default";r={remaining};t={seconds}',
        }
        return is_within, headers if is_within else {**headers, "Retry-After": str(max(1, seconds))}
