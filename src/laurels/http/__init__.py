"""Laurels over HTTP: `create_app` makes the ASGI application that `laurels serve` runs and that others mount."""

from laurels.http.app import create_app

__all__ = ["create_app"]
