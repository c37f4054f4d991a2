"""
Routes that are asked most: they answer ahead of the framework, which takes longer than the rest of such a call.

A direct route is one of the framework's, so that the document is made from its function as ever. What the framework
would find out for each call, who answers it and what its parameters are, was found out here once.
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any, get_type_hints

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from pydantic import BaseModel, ValidationError, create_model
from starlette.exceptions import HTTPException

from laurels.core.errors import LaurelsError
from laurels.http.auth import authorize
from laurels.http.bodies import path_of
from laurels.http.problems import answer_to

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class Direct(APIRoute):
    """A route whose function takes a request, its caller, and parameters of its path and query, and nothing else."""

    answer: Answer

    def get_route_handler(self) -> Answer:
        """Return what answers a request."""
        endpoint = self.endpoint
        hints = get_type_hints(endpoint, include_extras=True)
        (security,) = hints["caller"].__metadata__
        wanted = SecurityScopes(list(security.scopes))
        parameters = _parameters(endpoint, hints)
        in_path = set(self.param_convertors)

        async def answer(request: Request) -> Response:
            caller = authorize(request, wanted)
            if parameters is None:
                return await endpoint(request, caller)  # type: ignore[no-any-return]
            try:
                given = parameters.model_validate({**request.query_params, **request.path_params})
            except ValidationError as error:
                found = error.errors()
                for one in found:
                    one["loc"] = ("path" if one["loc"][0] in in_path else "query", *one["loc"])
                raise RequestValidationError(found) from None
            return await endpoint(request, caller, **vars(given))  # type: ignore[no-any-return]

        self.answer = answer
        return answer


class Ahead:
    """Lets direct routes answer what they match, and the framework everything else. Stands where the framework does."""

    def __init__(self, app: ASGIApp, routes: Iterable[Direct]) -> None:
        self._app = app
        self._routes = [(route.path_regex.match, frozenset(route.methods or ()), route) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, or pass it on."""
        if scope["type"] != "http" or not self._matches(scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await scope["route"].answer(request)
        except (LaurelsError, HTTPException, RequestValidationError) as error:
            response = answer_to(error)
        await response(scope, receive, send)

    def _matches(self, scope: Scope) -> bool:
        """Return whether a direct route answers a call; it and its path's parameters are in the scope then."""
        path, method = path_of(scope), scope["method"]
        for match, methods, route in self._routes:
            if method in methods and (found := match(path)) is not None:
                scope["route"], scope["path_params"] = route, found.groupdict()
                return True
        return False


def _parameters(endpoint: Callable[..., Any], hints: dict[str, Any]) -> type[BaseModel] | None:
    """Return the parameters of a route's function as a model, None where there are none."""
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in signature(endpoint).parameters.items()
        if name not in {"request", "caller"}
    }
    return create_model(endpoint.__name__, **fields) if fields else None
