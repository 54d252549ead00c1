"""Carries out steps in an event loop, with aiohttp. Decides nothing. Redirects and proxies are not followed."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import aiohttp
from yarl import URL

from eventmill.client.errors import NoAnswer
from eventmill.client.exchange import ANSWER_BYTES_MAX, Answer, Do, Given, Send, Step, Steps, Wait

T = TypeVar("T")


class AsyncTransport:
    """Of one event loop, in which it opens its connections when they are first needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def run(self, steps: Steps[T]) -> T:
        """All steps; what they come to. Cancelled between steps, the rest is not carried out."""
        given: Given = None
        try:
            while True:
                try:
                    step = steps.send(given)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                given = await self.carry_out(step)
        finally:
            steps.close()

    async def carry_out(self, step: Step) -> Given:
        match step:
            case Send():
                try:
                    return await self._send(step)
                except NoAnswer as error:
                    return error
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Do(function):
                await asyncio.to_thread(function)
        return None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(self, send: Send) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=("user-agent", "content-type"), trust_env=False
            )
        try:
            async with self._session.request(
                send.method,
                URL(send.url, encoded=True),
                headers=send.headers,
                data=send.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=send.timeout_s),
            ) as response:
                body = await _read_whole(response)
                names = {name.lower() for name in response.headers}
                headers = {name: ", ".join(response.headers.getall(name)) for name in names}
                return Answer(response.status, headers, body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = "it took too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            raise NoAnswer(f"{_place(send.url)}: {why}") from error


async def _read_whole(response: aiohttp.ClientResponse) -> bytes:
    """Raises `ClientError` for a body that ends before its length, or never."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > ANSWER_BYTES_MAX:
            raise aiohttp.ClientPayloadError(f"more than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _place(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
