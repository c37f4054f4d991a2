"""
Points as a web service that most people would write: FastAPI, SQLAlchemy's ORM, a transaction for each request.

It gives ten XP and a coin for whatever happened. It decides nothing: no rules, no levels, no achievements. Tables are
what they are in `conventional_schema.sql`, with the users and the foreign keys that an ORM's models have. FastAPI runs
it in threads, each with a connection of its own from the pool.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import ForeignKey, create_engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

#: As many as FastAPI has threads, so that none of them waits for a connection.
CONNECTIONS = 40
XP, COINS = 10, 1
URL = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
TOKEN = "Bearer baseline"

engine = create_engine(URL, pool_size=CONNECTIONS)
app = FastAPI(title="Points")


class Base(DeclarativeBase):
    """The tables."""


class User(Base):
    """Somebody who does things."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    balances: Mapped[list[Balance]] = relationship(back_populates="user")


class IdempotencyKey(Base):
    """A request that was answered."""

    __tablename__ = "idempotency_keys"
    key: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Balance(Base):
    """What a user has of one unit."""

    __tablename__ = "balances"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    unit: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(default=0)
    user: Mapped[User] = relationship(back_populates="balances")


class Entry(Base):
    """One line of a user's ledger."""

    __tablename__ = "ledger"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    unit: Mapped[str]
    amount: Mapped[int]
    balance_after: Mapped[int]
    reason: Mapped[str]
    request_key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class EventIn(BaseModel):
    """What a user did."""

    id: str = Field(min_length=1, max_length=255)
    type: str = Field(min_length=1, max_length=100)
    user: str = Field(min_length=1, max_length=255)
    time: datetime | None = None
    data: dict[str, str | int] | None = None


class Awarded(BaseModel):
    """What a user has now."""

    event_id: str
    xp: int
    coins: int


def session() -> Iterator[Session]:
    """Give each request a session of its own."""
    with Session(engine) as opened:
        yield opened


@app.post("/v1/events")
def record(
    event: EventIn, db: Annotated[Session, Depends(session)], authorization: Annotated[str, Header()]
) -> Awarded:
    """Award what happened, once for each event's id."""
    if authorization != TOKEN:
        raise HTTPException(401)
    user = db.get(User, event.user)
    if user is None:
        user = User(id=event.user)
        db.add(user)
    db.add(IdempotencyKey(key=event.id, user_id=event.user))
    try:
        db.flush()
    except IntegrityError:
        raise HTTPException(409, "This was recorded before.") from None
    query = select(Balance).where(Balance.user_id == event.user).order_by(Balance.unit).with_for_update()
    balances = {balance.unit: balance for balance in db.scalars(query)}
    for unit, amount in (("xp", XP), ("coin", COINS)):
        if unit not in balances:
            balances[unit] = Balance(user_id=event.user, unit=unit, amount=0)
            db.add(balances[unit])
        balances[unit].amount += amount
        entry = Entry(
            user_id=event.user,
            unit=unit,
            amount=amount,
            balance_after=balances[unit].amount,
            reason=event.type,
            request_key=event.id,
        )
        db.add(entry)
    answer = Awarded(event_id=event.id, xp=balances["xp"].amount, coins=balances["coin"].amount)
    db.commit()
    return answer


if __name__ == "__main__":
    Base.metadata.create_all(engine)
