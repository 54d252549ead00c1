"""Webhooks for web frameworks: each answers the challenge, verifies what comes, and hands genuine deliveries on.

A handler that returns has taken its events: 200. One that raises gets them again. Frameworks are imported when an
adapter is made, not before.
"""

from __future__ import annotations

from eventmill.client.adapters.asgi import asgi_webhook
from eventmill.client.adapters.fastapi import fastapi_webhook
from eventmill.client.adapters.flask import flask_webhook
from eventmill.client.adapters.wsgi import wsgi_webhook

__all__ = ["asgi_webhook", "fastapi_webhook", "flask_webhook", "wsgi_webhook"]
