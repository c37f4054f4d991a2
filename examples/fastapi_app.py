"""
Laurels inside of a FastAPI application: recorded from its own routes, and its HTTP API mounted below a path.

    pip install 'laurels[server]'
    uvicorn --app-dir examples fastapi_app:app

    curl -X POST localhost:8000/posts -H 'Content-Type: application/json' -d '{"author": "ada", "title": "Hello"}'
    curl localhost:8000/users/ada

`laurels serve` need not run: the API is at /laurels/v1, its pages are at /laurels/docs.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

import laurels
from laurels.http import create_app

engine = laurels.open(os.environ.get("DATABASE_URL", "sqlite:///fastapi_app.db"))
service = create_app(engine)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Run the mounted service's own work, which nobody else would, for as long as the application runs."""
    async with service.router.lifespan_context(service):
        yield
    engine.close()


app = FastAPI(title="A place to write", lifespan=lifespan)
app.mount("/laurels", service)

posts: dict[int, "Post"] = {}  # A database, in an application that is meant.
numbers = count(1)


class Post(BaseModel):
    """What somebody wrote."""

    author: str
    title: str


@app.post("/posts", status_code=201)
async def publish(post: Post) -> dict[str, Any]:
    """Publish a post; say what its author earned."""
    number = next(numbers)
    posts[number] = post
    event = laurels.Event("post.created", user=post.author, id=f"post-{number}", data={"published": True})
    # Nobody waits in a thread: many requests at once share one commit. `wait=False` raises `overloaded`, for a 503,
    # rather than to hold up the event loop.
    outcome = await asyncio.wrap_future(engine.submit(event, wait=False))
    return {"number": number, "earned": [change.type for change in outcome.changes]}


@app.get("/users/{name}")
def show(name: str) -> dict[str, Any]:
    """Show somebody's level; a plain function, which FastAPI runs in a thread."""
    try:
        profile = engine.profile(name)
    except laurels.LaurelsError as error:
        raise HTTPException(404, str(error)) from None
    return {"name": name, "level": profile.level, "xp": profile.xp, "posts": profile.metrics["posts"]}
