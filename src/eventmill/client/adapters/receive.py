"""A request with its body already read becomes an answer: for handlers that block, and for those that are awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from eventmill.client.deduplication import Deduplicator, UnderWay
from eventmill.client.verifier import AsyncVerifier, Verifier
from eventmill.client.webhook import HANDLED, UNDER_WAY, Delivery, WebhookAnswer, answer_unverified, handling

Handler = Callable[[Delivery], object]
"""What it returns is not looked at."""
AsyncHandler = Callable[[Delivery], Awaitable[object]]


def receive(
    verifier: Verifier, handler: Handler, deduplicator: Deduplicator | None, body: bytes, headers: Mapping[str, str]
) -> WebhookAnswer:
    """Calls the handler with what is genuine and new; not at all when nothing is."""
    verification = verifier.verify(body, headers)
    if not verification:
        return answer_unverified(verification)
    with suppress(UnderWay), handling(verification, body, headers, deduplicator) as delivery:
        if delivery.events:
            handler(delivery)
        return HANDLED
    return UNDER_WAY


async def receive_async(
    verifier: AsyncVerifier,
    handler: AsyncHandler,
    deduplicator: Deduplicator | None,
    body: bytes,
    headers: Mapping[str, str],
) -> WebhookAnswer:
    """`receive`, awaited."""
    verification = await verifier.verify(body, headers)
    if not verification:
        return answer_unverified(verification)
    with suppress(UnderWay), handling(verification, body, headers, deduplicator) as delivery:
        if delivery.events:
            await handler(delivery)
        return HANDLED
    return UNDER_WAY
