"""A webhook as a router of FastAPI: `app.include_router(fastapi_webhook("/hook", ...))`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventmill.client.adapters.receive import AsyncHandler, receive_async
from eventmill.client.deduplication import Deduplicator
from eventmill.client.verifier import AsyncVerifier
from eventmill.client.webhook import BODY_BYTES_MAX, TOO_LARGE, WebhookAnswer, answer_challenge

if TYPE_CHECKING:
    from fastapi import APIRouter


def fastapi_webhook(
    path: str, verifier: AsyncVerifier, handler: AsyncHandler, deduplicator: Deduplicator | None = None
) -> APIRouter:
    """GET and POST of the path; not in the application's own OpenAPI document."""
    from fastapi import APIRouter, Request, Response

    router = APIRouter()

    async def eventmill_webhook(request: Request) -> Response:
        answer = await respond(request)
        return Response(answer.body, answer.status, dict(answer.headers))

    async def respond(request: Request) -> WebhookAnswer:
        if request.method != "POST":
            return answer_challenge(request.url.query)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return TOO_LARGE
        return await receive_async(verifier, handler, deduplicator, body, request.headers)

    router.add_route(path, eventmill_webhook, methods=["GET", "POST"], include_in_schema=False)
    return router
