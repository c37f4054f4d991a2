"""
Who calls, and what they may: keys of programs, and tokens of single users.

The gate (gate.py) finds out who calls before anything of the request is read; a route then says which scope it wants
by the type of its `caller` parameter, which the OpenAPI document shows. A route without such a parameter does not
exist: the tests see to it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import jwt
from fastapi import Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from laurels import keys
from laurels.core.errors import LaurelsError, SettingInvalid
from laurels.core.requests import is_id
from laurels.http.problems import Refused
from laurels.http.wire import check_request, with_slashes

if TYPE_CHECKING:
    from laurels.core.periods import Instant
    from laurels.engine import Engine
    from laurels.keys import Proof
    from laurels.settings import Settings

#: A key that was revoked, and one that was made elsewhere, is known to be so after this long.
FRESH_S = 0.5
#: Between two looks at the database for keys that nobody knew yet.
LOOK_AGAIN_S = 0.05
USER = "user"
MINUTE_US = 60_000_000

log = logging.getLogger("laurels.http")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a key by its id and scopes, or a user by a token of the application's."""

    key_id: str = ""
    scopes: frozenset[str] = frozenset()
    user_id: str | None = None
    #: When a token is over, in seconds since 1970; keys are looked up again where it matters.
    expires_at: float = float("inf")

    @property
    def name(self) -> str:
        """Return what the audit log and rate limits know the caller by."""
        return self.key_id or f"user:{self.user_id}"

    def may(self, scope: str) -> bool:
        """Whether a key has a scope; a token has none."""
        return scope in self.scopes or "admin" in self.scopes


class KeyRing:
    """The keys that are good, as of half a second ago, so that a request need not ask the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._proofs: dict[str, Proof] = {}
        self._as_of_s = float("-inf")
        self._looking = asyncio.Lock()
        self._noted: dict[str, Instant] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def caller_of(self, key: str) -> Caller | None:
        """Return whose key this is; None for one that is wrong, revoked or expired."""
        key_id = keys.key_id_of(key)
        if key_id is None:
            return None
        asked_s = time.monotonic()
        if self._as_of_s < asked_s - FRESH_S:
            await self._look(asked_s - FRESH_S)
        if key_id not in self._proofs:  # It may have been made just now, by this process or another.
            await self._look(asked_s)
        proof, now = self._proofs.get(key_id), self._engine.now()
        if proof is None or not proof.holds(key, now):
            return None
        if now - proof.last_used_at >= MINUTE_US:
            self._note(key_id, now - now % MINUTE_US)
        return Caller(key_id, proof.scopes)

    async def living(self) -> set[str]:
        """Return the ids of all keys that are good, as of half a second ago."""
        asked_s = time.monotonic()
        if self._as_of_s < asked_s - FRESH_S:
            await self._look(asked_s - FRESH_S)
        now = self._engine.now()
        return {key_id for key_id, proof in self._proofs.items() if not proof.is_over(now)}

    async def close(self) -> None:
        """Finish writing down when keys were last used."""
        await asyncio.gather(*self._noting)

    async def _look(self, as_of_s: float) -> None:
        """See to it that the keys known are those of that moment, or of a later one."""
        async with self._looking:
            if self._as_of_s >= as_of_s:
                return
            # Whoever tries keys that there are not cannot make this ask without end.
            await asyncio.sleep(max(0, self._as_of_s + LOOK_AGAIN_S - time.monotonic()))
            began_s = time.monotonic()
            self._proofs = await asyncio.to_thread(self._read)
            self._as_of_s = began_s

    def _read(self) -> dict[str, Proof]:
        with self._engine.read() as connection:
            return keys.proofs(connection)

    def _note(self, key_id: str, minute: Instant) -> None:
        """Write down that a key was used, beside the call, which does not wait for it."""
        if self._noted.get(key_id) != minute:
            self._noted[key_id] = minute
            noting = asyncio.create_task(asyncio.to_thread(self._write, key_id, minute))
            self._noting.add(noting)
            noting.add_done_callback(self._noting.discard)

    def _write(self, key_id: str, minute: Instant) -> None:
        try:
            keys.used(self._engine, key_id, minute)
        except LaurelsError as error:  # The next minute will be written down again.
            log.warning("key_use_not_noted", extra={"key_id": key_id, "reason": str(error)})


class Tokens:
    """
    JSON Web Tokens that the application signs for its users: one algorithm, one key, and `sub` is the user.

    Nothing else in a token means anything here, but that `exp` and `nbf` hold where they stand.
    """

    def __init__(self, settings: Settings) -> None:
        self._key: Any = settings.token_key
        self._algorithm = settings.token_algorithm
        if settings.token_key:
            bits = int(self._algorithm[2:]) if self._algorithm.startswith("HS") else 0
            if len(settings.token_key.encode()) * 8 < bits:
                raise SettingInvalid(
                    f"token_key is too short for {self._algorithm}: whoever sees one token could guess it. "
                    f"Use at least {bits // 8} random bytes."
                )
            try:
                self._key = jwt.get_algorithm_by_name(self._algorithm).prepare_key(settings.token_key)
            except (ValueError, TypeError, jwt.PyJWTError) as error:
                raise SettingInvalid(f"token_key is no key for {self._algorithm}: {error}") from None

    def caller_of(self, token: str) -> Caller | None:
        """Return whose token this is; None for one that is wrong or over, or where no tokens are taken."""
        if not self._key:
            return None
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                options={
                    "require": ["sub"],
                    "verify_aud": False,
                    "verify_iss": False,
                    "verify_iat": False,
                    "verify_jti": False,
                },
            )
        except (jwt.PyJWTError, ValueError):
            return None
        user_id = claims["sub"]
        return Caller(user_id=user_id, expires_at=float(claims.get("exp", "inf"))) if is_id(user_id) else None


class _Authorize(HTTPBearer):
    """
    What a route asks for its caller, and what the document shows of that.

    One dependency, not one that depends on another: FastAPI takes its time for each, at every call.
    """

    async def __call__(self, request: Request, wanted: SecurityScopes) -> Caller:  # type: ignore[override]
        """Let a caller in who may do what the route wants."""
        return authorize(request, wanted)


def authorize(request: Request, wanted: SecurityScopes) -> Caller:
    """Return the caller if they may do what a route wants; `user` in it lets users do it, for themselves alone."""
    caller: Caller = request.scope["laurels.caller"]
    if caller.user_id is not None:
        if USER not in wanted.scopes:
            raise _forbidden("A user's token cannot do this; it takes a key of the application's.")
        if with_slashes(request.path_params.get("user_id", caller.user_id)) != caller.user_id:
            raise _forbidden("A user's token reads and claims for that user alone.")
    elif not any(map(caller.may, wanted.scopes)):
        raise _forbidden(f"This takes a key with the scope {' or '.join(set(wanted.scopes) - {USER})}.")
    check_request(request)
    return caller


def _forbidden(detail: str) -> Refused:
    return Refused(403, "forbidden", detail, {"WWW-Authenticate": 'Bearer realm="laurels", error="insufficient_scope"'})


_authorize = _Authorize(auto_error=False, scheme_name="HTTPBearer", description="A key, or a user's token.")
#: What a route takes as its `caller`: a key with that scope (or `admin`).
Ingest = Annotated[Caller, Security(_authorize, scopes=["ingest"])]
Wallet = Annotated[Caller, Security(_authorize, scopes=["wallet"])]
Read = Annotated[Caller, Security(_authorize, scopes=["read"])]
Admin = Annotated[Caller, Security(_authorize, scopes=["admin"])]
#: And a user's token: to read what is public or their own, and to claim what is theirs.
ReadOrUser = Annotated[Caller, Security(_authorize, scopes=["read", USER])]
WalletOrUser = Annotated[Caller, Security(_authorize, scopes=["wallet", USER])]
