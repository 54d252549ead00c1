"""Which addresses may be dialled, and the connector that asks before every TCP connect.

The check sits where sockets are made, so it sees the final address of each dial: literal, resolved or re-bound, with
nothing between check and connect. Two tiers: *private* networks open when a configured network contains the address;
*forbidden* ones (loopback, link-local with the clouds' metadata services, and what is no unicast destination at all)
only when the configured network names that very range, so that `0.0.0.0/0` opens none of them by accident.
Ranges: the IANA special-purpose address registries (RFC 6890), RFC 6598, RFC 9637, RFC 9602, and the metadata
addresses that cloud providers document. Must not decide anything about an answer.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec
from aiohttp import TCPConnector

from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.send.resolver import ThreadResolver

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
_SocketAddress = tuple[str, int] | tuple[str, int, int, int]
_AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, _SocketAddress]

_DNS_CACHE_S = 10
_KEEPALIVE_S = 15.0
_ALLOW_SETTING = "EVENTMILL_WEBHOOK_ALLOW_CIDRS"
_LOOPBACK = ("127.0.0.0/8", "::1/128")


class Rule(msgspec.Struct, frozen=True):
    """One range that is closed by default."""

    network: _Network
    name: str
    forbidden: bool


def _rules(forbidden: bool, ranges: dict[str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(ip_network(cidr), name, forbidden) for cidr, name in ranges.items())


# The first rule that contains an address counts: single metadata addresses stand before the networks around them.
_RULES = (
    *_rules(
        True,
        {
            "168.63.129.16/32": "cloud metadata service",
            "100.100.100.200/32": "cloud metadata service",
            "fd00:ec2::/32": "cloud metadata service",
            "fd20:ce::254/128": "cloud metadata service",
        },
    ),
    *_rules(
        False,
        {
            "10.0.0.0/8": "private network",
            "172.16.0.0/12": "private network",
            "192.168.0.0/16": "private network",
            "100.64.0.0/10": "carrier-grade NAT network",
            "fc00::/7": "unique local network",
            "fec0::/10": "site-local network",
            "64:ff9b:1::/48": "local NAT64 network",
        },
    ),
    *_rules(
        True,
        {
            "127.0.0.0/8": "loopback",
            "::1/128": "loopback",
            "169.254.0.0/16": "link-local",
            "fe80::/10": "link-local",
            "0.0.0.0/8": "this host",
            "::/128": "this host",
            "192.0.0.0/24": "protocol assignments",
            "192.0.2.0/24": "documentation",
            "192.88.99.0/24": "6to4 relay",
            "198.18.0.0/15": "benchmarking",
            "198.51.100.0/24": "documentation",
            "203.0.113.0/24": "documentation",
            "224.0.0.0/4": "multicast",
            "240.0.0.0/4": "reserved or broadcast",
            "100::/64": "discard-only",
            "2001::/23": "protocol assignments",
            "2001:db8::/32": "documentation",
            "3fff::/20": "documentation",
            "5f00::/16": "segment routing",
            "ff00::/8": "multicast",
            "::/3": "not global unicast",
            "4000::/2": "not global unicast",
            "8000::/1": "not global unicast",
        },
    ),
)

_CARRIERS = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"))
"""IPv4-mapped (RFC 4291) and NAT64 (RFC 6052): nothing but the IPv4 address in the last 32 bits is reached."""
_6TO4 = ip_network("2002::/16")
_ISATAP_INTERFACE = 0x5EFE
"""Upper half of an interface id that ends in an IPv4 address (RFC 5214), but for the bit that marks it as global."""


class DialRefusedError(OSError):
    """The guard refused to dial; the text names address, rule and the setting that would allow it."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EACCES, text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class DialGuard:
    """Decides on addresses; pure after construction."""

    def __init__(self, allowed: Sequence[_Network] = ()) -> None:
        self._allowed = tuple(allowed)

    @classmethod
    def of(cls, config: Config) -> DialGuard:
        """The configured networks, plus loopback in dev mode. Raises `StartupError` for what is no network."""
        texts = config.webhook_allow_cidrs + (_LOOPBACK if config.dev else ())
        return cls([_parse_network(text) for text in texts])

    def refusal(self, address: str) -> str | None:
        """Why `address` may not be dialled; None: it may.

        An IPv6 address that carries an IPv4 one is also judged by that, because it is what would be reached.
        """
        try:
            dialled = ip_address(address.partition("%")[0])
        except ValueError:
            return f"{address} is not an IP address"
        for reached in _destinations(dialled):
            rule = self._closing_rule(reached)
            if rule is not None:
                via = "" if reached == dialled else f" (reached through {dialled})"
                return (
                    f"address {reached}{via} is refused: {rule.name} ({rule.network}); "
                    f"{_ALLOW_SETTING} may allow it{' by naming a network within that range' if rule.forbidden else ''}"
                )
        return None

    def open_socket(self, info: _AddressInfo) -> socket.socket:
        """The connector's socket factory. Raises `DialRefusedError` before any packet leaves."""
        family, kind, protocol, _, address = info
        text = self.refusal(address[0])
        if text is not None:
            raise DialRefusedError(text)
        return socket.socket(family, kind, protocol)

    def _closing_rule(self, address: _Address) -> Rule | None:
        for rule in _RULES:
            if address in rule.network:
                return None if self._opens(rule, address) else rule
        return None

    def _opens(self, rule: Rule, address: _Address) -> bool:
        return any(
            address in network and (not rule.forbidden or _is_within(network, rule.network))
            for network in self._allowed
        )


def guarded_connector(guard: DialGuard, tls: ssl.SSLContext) -> TCPConnector:
    """A pooling connector whose every dial passes `guard`. Needs a running loop.

    Without a limit of its own: how many requests run at once is the lanes' affair.
    """
    return TCPConnector(
        ssl=tls,
        limit=0,
        resolver=ThreadResolver(),
        ttl_dns_cache=_DNS_CACHE_S,
        keepalive_timeout=_KEEPALIVE_S,
        socket_factory=guard.open_socket,
    )


def _parse_network(text: str) -> _Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise StartupError(f"{_ALLOW_SETTING}: {error}; write a network such as 10.0.0.0/8") from error


def _is_within(inner: _Network, outer: _Network) -> bool:
    return inner.network_address in outer and inner.broadcast_address in outer


def _destinations(address: _Address) -> Iterator[_Address]:
    """What a packet to `address` may reach: itself, or the IPv4 address it carries, or both."""
    bits = int(address)
    if any(address in network for network in _CARRIERS):
        yield IPv4Address(bits & 0xFFFFFFFF)
        return
    yield address
    if address in _6TO4:
        yield IPv4Address(bits >> 80 & 0xFFFFFFFF)
    elif bits >> 32 & 0xFDFFFFFF == _ISATAP_INTERFACE:
        yield IPv4Address(bits & 0xFFFFFFFF)
