"""Webhook endpoints on loopback that behave as told: well, or in every bad way an HTTP client can meet."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: list[tuple[str, str]]
    """As sent, in order."""
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class Connection:
    """One accepted connection, numbered from 1, and what a behaviour needs of it."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    receiver: Receiver

    async def read_request(self) -> Received | None:
        """The next request, also noted in `receiver.requests`; None when the client closed."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        start, *lines = head[:-4].split("\r\n")
        method, path, _ = start.split(" ")
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        request = Received(method, path, headers, await self.reader.readexactly(length))
        self.receiver.requests.append(request)
        return request

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def closed_by_client(self) -> None:
        """Until the client closed or aborted the connection; what still arrives is thrown away."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Connection], Awaitable[None]]


@dataclass
class Receiver:
    port: int = 0
    scheme: str = "http"
    connections: int = 0
    requests: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"


@asynccontextmanager
async def receiving(behaviour: Behaviour, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Receiver]:
    """Listens while the block runs; `behaviour` runs once per connection, which ends when it returns."""
    receiver = Receiver(scheme="http" if tls is None else "https")
    running: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        receiver.connections += 1
        try:
            await behaviour(Connection(receiver.connections, reader, writer, receiver))
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            running.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def response(body: bytes = b"ok", status: str = "200 OK", headers: str = "content-type: text/plain\r\n") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def answering(raw: bytes | Callable[[Received], bytes]) -> Behaviour:
    """Keep-alive: the same raw answer to every request, or what the function makes of it."""

    async def behave(connection: Connection) -> None:
        while (request := await connection.read_request()) is not None:
            await connection.send(raw if isinstance(raw, bytes) else raw(request))

    return behave


def answering_once(raw: bytes) -> Behaviour:
    """One raw answer per connection, which then closes without having announced it."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(raw)

    return behave


def dripping(start: bytes, drop: bytes) -> Behaviour:
    """`start`, then `drop` every few milliseconds for as long as the client stays."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(start)
        while True:
            await connection.send(drop)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await connection.closed_by_client()
                    return

    return behave


async def never_answering(connection: Connection) -> None:
    await connection.closed_by_client()


async def never_reading(connection: Connection) -> None:
    await asyncio.get_running_loop().create_future()


async def resetting(connection: Connection) -> None:
    await connection.read_request()
    connection.reset()


@asynccontextmanager
async def refusing_handshake(tls: ssl.SSLContext) -> AsyncIterator[Receiver]:
    """Serves one connection whose TLS handshake `tls` refuses, with the alert that says why.

    On a thread with plain sockets, because asyncio's own server drops that alert.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted, _ = listener.accept()
        with (
            accepted.dup() as below,
            tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as above,
        ):
            with suppress(ssl.SSLError):
                above.do_handshake()
            with suppress(ConnectionError):  # closing with unread bytes would overtake the alert with a RST
                while below.recv(65536):
                    pass

    with listener:
        thread = asyncio.create_task(asyncio.to_thread(serve))
        yield Receiver(port=listener.getsockname()[1], scheme="https")
        await thread


def unused_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def make_certificate(folder: Path, address: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server context with a self-signed certificate for `address`, and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    return context, certificate_file
