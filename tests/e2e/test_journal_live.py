"""Reads that wait and live tails against a real server: what it sees of its readers, and how it lets go of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.tenant import Registration, Tenant, Topic

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def subscribed(gateway: Gateway) -> AsyncIterator[tuple[Tenant, Topic, Registration]]:
    async with Client(gateway.port) as client:
        tenant = Tenant(client, gateway.env())
        topic = await tenant.topic()
        yield tenant, topic, await tenant.register(topic)


class Socket:
    """A bare connection with one request for a journal under way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def ask(cls, tenant: Tenant, registration: Registration, *headers: str) -> Socket:
        path = registration.link("rel:events").partition("/events/")[2]
        port = int(tenant.env["api_url"].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [f"GET /events/{path}?latest=true HTTP/1.1", "host: 127.0.0.1", *headers]
        lines += [f"{name}: {value}" for name, value in tenant.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        return cls(reader, writer)

    async def until(self, text: bytes) -> bytes:
        async with asyncio.timeout(30):
            return await self.reader.readuntil(text)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def waits(tenant: Tenant, registration: Registration) -> bool:
    """Whether there is room for one who waits."""
    headers = {**tenant.headers, "prefer": "wait=1"}
    answer = await tenant.client.call("GET", f"{registration.link('rel:events')}?latest=true", headers)
    return answer.header("preference-applied") == "wait=1"


class Held:
    """A read that waits, and holds the last place there is."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.answer = asyncio.get_running_loop().create_task(socket.reader.readuntil(b"\r\n\r\n"))

    @classmethod
    async def wait(cls, tenant: Tenant, registration: Registration) -> Held:
        """Again when the look whether there is room took that room itself; other calls before it make that unlikely."""
        async with asyncio.timeout(30):
            while True:
                held = cls(await Socket.ask(tenant, registration, "prefer: wait=30"))
                for _ in range(5):
                    await tenant.call("GET", registration.link("rel:events"))
                if not await waits(tenant, registration) and not held.answer.done():
                    return held
                await held.leave()

    async def leave(self) -> None:
        self.answer.cancel()
        await asyncio.gather(self.answer, return_exceptions=True)
        await self.socket.close()


async def until_there_is_room(tenant: Tenant, registration: Registration) -> None:
    async with asyncio.timeout(30):
        while not await waits(tenant, registration):
            await asyncio.sleep(0)


@pytest.mark.on_files  # the limit is each node's
async def test_a_reader_that_leaves(start_gateway: StartGateway) -> None:
    """Whoever closes the connection gives its place to the next, be it from a wait or from a tail."""
    gateway = start_gateway("--dev", variables={"EVENTMILL_JOURNAL_WAITERS_MAX": "1"})
    async with subscribed(gateway) as (tenant, _, registration):
        assert await waits(tenant, registration)
        tail = await Socket.ask(tenant, registration, "accept: text/event-stream")
        await tail.until(b"retry: 1000\nid: ")
        assert not await waits(tenant, registration)
        await tail.close()
        await until_there_is_room(tenant, registration)
        await (await Held.wait(tenant, registration)).leave()
        await until_there_is_room(tenant, registration)


@pytest.mark.on_files  # the limit is each node's
async def test_events_and_the_end(start_gateway: StartGateway) -> None:
    """Events arrive while the stream is open; a gateway that shuts down ends streams and waits as they should end, and
    is gone soon."""
    gateway = start_gateway("--dev", variables={"EVENTMILL_JOURNAL_WAITERS_MAX": "2"})
    async with subscribed(gateway) as (tenant, topic, registration):
        tail = await Socket.ask(tenant, registration, "accept: text/event-stream")
        await tail.until(b"retry: 1000\nid: ")
        first = await Held.wait(tenant, registration)
        await tenant.publish(topic, "order-1")
        message = await tail.until(b"}\n\n")
        assert json.loads(message.rpartition(b"data: ")[2])["id"] == "order-1"
        head = await first.answer
        assert b"200 OK" in head and b"preference-applied: wait=30" in head
        second = await Held.wait(tenant, registration)
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(gateway.stop) == 0
        assert (await tail.reader.read()).endswith(b"0\r\n\r\n")
        assert (await second.answer).startswith(b"HTTP/1.1 204")
        await tail.close()
        for held in (first, second):
            await held.leave()


async def test_every_tail_gets_every_event(start_gateway: StartGateway) -> None:
    """Of whatever node a stream is, and whatever node took the event."""
    gateway = start_gateway("--dev")
    async with subscribed(gateway) as (tenant, topic, registration):
        tails = [await Socket.ask(tenant, registration, "accept: text/event-stream") for _ in range(3)]
        for tail in tails:
            await tail.until(b"retry: 1000\nid: ")
        published = [await tenant.publish(topic) for _ in range(3)]
        for tail in tails:
            messages = [await tail.until(b"}\n\n") for _ in published]
            assert [json.loads(each.rpartition(b"data: ")[2])["id"] for each in messages] == published
            await tail.close()
