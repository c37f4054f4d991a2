"""The interactive pages at `/docs`, with nothing from any other host: their scripts come with a wheel."""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

STATIC = "/docs/static"
#: Swagger UI starts itself by a script in the page and shows icons from inside its style sheet.
POLICY = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"


def install(app: FastAPI) -> None:
    """Serve the pages, and what they need."""
    files = Path(fastapi_offline.__file__).parent / "static"
    app.mount(STATIC, StaticFiles(directory=files), name="docs-static")
    app.add_api_route("/docs", show_docs, include_in_schema=False)
    app.add_api_route("/", lead_to_docs, include_in_schema=False)


async def lead_to_docs(request: Request) -> RedirectResponse:
    """Lead whoever opens the address in a browser to the pages."""
    return RedirectResponse(request.scope.get("root_path", "") + "/docs", 307)


async def show_docs(request: Request) -> HTMLResponse:
    """Return the page."""
    root = request.scope.get("root_path", "")
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Laurels",
        swagger_js_url=f"{root}{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{root}{STATIC}/favicon.png",
        swagger_ui_parameters={"persistAuthorization": True, "tryItOutEnabled": True},
    )
    page.headers["Content-Security-Policy"] = POLICY
    return page
