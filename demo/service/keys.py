"""What the parts of the service share, by typed keys of the application."""

from __future__ import annotations

import asyncio

from aiohttp import web

from .settings import Settings

SETTINGS = web.AppKey("SETTINGS", Settings)
# Set when the service is told to stop: what would never end by itself ends then.
CLOSING = web.AppKey("CLOSING", asyncio.Event)
