"""Which addresses and ports may be dialled.

Two tiers. *Private* networks open by setting, for all or for named hosts, or when a configured network contains the
address. *Forbidden* ones (loopback, link-local with the clouds' metadata services, and what is no unicast destination
at all) open only when a configured network lies within that very range, so that `0.0.0.0/0` opens none of them by
accident. `send.connector` asks where sockets are made, so the guard sees the final address of each dial: literal,
resolved or re-bound, with nothing between check and connect.
Ranges: the IANA special-purpose address registries (RFC 6890), RFC 6598, RFC 9637, RFC 9602, and the metadata
addresses that cloud providers document. Must not decide anything about an answer.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from eventmill.config import Config
from eventmill.errors import StartupError

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
_SocketAddress = tuple[str, int] | tuple[str, int, int, int]
_AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, _SocketAddress]

_ALLOW_SETTING = "EVENTMILL_WEBHOOK_ALLOW_CIDRS"
_FORBIDDEN_REMEDY = f"{_ALLOW_SETTING} may allow it by naming a network within that range"
_PRIVATE_REMEDY = f"EVENTMILL_WEBHOOK_ALLOW_HOSTS, {_ALLOW_SETTING} or EVENTMILL_WEBHOOK_ALLOW_PRIVATE may allow it"
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_IPV4_BITS = 0xFFFFFFFF
_HOST = re.compile(r"\.?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z]([a-z0-9_-]{0,61}[a-z0-9_])?")
"""The last label begins with a letter: addresses are no names."""


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

_MAPPED = ip_network("::ffff:0:0/96")
_NAT64 = ip_network("64:ff9b::/96")
_6TO4 = ip_network("2002::/16")
_TEREDO = ip_network("2001::/32")
_TAILED = (ip_network("::/96"), ip_network("::ffff:0:0:0/96"))
"""IPv4-compatible (RFC 4291) and IPv4-translated (RFC 2765) addresses: an IPv4 address in the last 32 bits."""
_ISATAP_INTERFACE = 0x5EFE
"""Upper half of an interface id that ends in an IPv4 address (RFC 5214), but for the bit that marks it as global."""
_NAT64_LENGTHS = (32, 40, 48, 56, 64, 96)
"""Of prefixes (RFC 6052 section 2.2)."""
_AFTER_UNUSED_OCTET = (1 << 56) - 1
"""Bits 64 to 71 of a NAT64 address are skipped (RFC 6052 section 2.2)."""


class DialRefusedError(OSError):
    """The guard refused to dial; the text names address, rule and the setting that would allow it."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EACCES, text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class DialGuard:
    """Decides on addresses and ports; pure after construction."""

    def __init__(
        self,
        allowed: Sequence[_Network] = (),
        *,
        allow_private: bool = False,
        nat64: Sequence[IPv6Network] = (),
        denied_ports: Iterable[int] = (),
    ) -> None:
        self._allowed = tuple(allowed)
        self._allow_private = allow_private
        self._nat64 = tuple(nat64)
        self._denied_ports = frozenset(denied_ports)

    @classmethod
    def of(cls, config: Config, *, for_named_hosts: bool = False) -> DialGuard:
        """The configured networks, plus loopback in dev mode; private ones too for the hosts that the settings name.

        Raises `StartupError` for what is no network."""
        texts = config.webhook_allow_cidrs + (_LOOPBACK if config.dev else ())
        return cls(
            [_parse_network(_ALLOW_SETTING, text) for text in texts],
            allow_private=config.webhook_allow_private or for_named_hosts,
            nat64=[_parse_nat64(text) for text in config.nat64_prefixes],
            denied_ports=config.webhook_deny_ports,
        )

    def refusal(self, address: str) -> str | None:
        """Why `address` may not be dialled; None: it may.

        An IPv6 address that carries an IPv4 one is also judged by that, because it is what would be reached.
        """
        try:
            dialled = ip_address(address.partition("%")[0])
        except ValueError:
            return f"{address} is not an IP address"
        for reached in self._destinations(dialled):
            rule = self._closing_rule(reached)
            if rule is not None:
                via = "" if reached == dialled else f" (reached through {dialled})"
                remedy = _FORBIDDEN_REMEDY if rule.forbidden else _PRIVATE_REMEDY
                return f"address {reached}{via} is refused: {rule.name} ({rule.network}); {remedy}"
        return None

    def refuse_port(self, port: int | None) -> None:
        """Raises `DialRefusedError` for a port that no webhook may have."""
        if port in self._denied_ports:
            raise DialRefusedError(f"port {port} is refused; EVENTMILL_WEBHOOK_DENY_PORTS lists it")

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
        if self._allow_private and not rule.forbidden:
            return True
        return any(
            address in network and (not rule.forbidden or _is_within(network, rule.network))
            for network in self._allowed
        )

    def _destinations(self, address: _Address) -> Iterator[_Address]:
        """What a packet to `address` may reach: itself, or the IPv4 address it carries, or both."""
        if isinstance(address, IPv4Address):
            yield address
            return
        bits = int(address)
        if address in _MAPPED or address in _NAT64:
            yield _low_ipv4(bits)
            return
        for prefix in self._nat64:
            if address in prefix:
                yield _carried_by_nat64(bits, prefix.prefixlen)
                return
        yield address
        if address in _6TO4:
            yield IPv4Address(bits >> 80 & _IPV4_BITS)
        elif address in _TEREDO:  # server, and client in disguise (RFC 4380)
            yield IPv4Address(bits >> 64 & _IPV4_BITS)
            yield IPv4Address(bits & _IPV4_BITS ^ _IPV4_BITS)
        elif bits >> 32 & 0xFDFFFFFF == _ISATAP_INTERFACE or (
            bits > 1 and any(address in network for network in _TAILED)
        ):
            yield _low_ipv4(bits)


def read_named_hosts(config: Config) -> tuple[str, ...]:
    """The names of `webhook_allow_hosts`. Raises `StartupError` for what is no name."""
    for text in config.webhook_allow_hosts:
        if not _HOST.fullmatch(text):
            raise StartupError(f"EVENTMILL_WEBHOOK_ALLOW_HOSTS: {text!r} is not a host name in lower case")
    return config.webhook_allow_hosts


def is_named(host: str, names: Iterable[str]) -> bool:
    """Whether `host`, as a URL has it, is one of `names`, or below one that begins with a dot."""
    host = host.rstrip(".").lower()
    return any(host.endswith(name) if name.startswith(".") else host == name for name in names)


def _parse_network(setting: str, text: str) -> _Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise StartupError(f"{setting}: {error}; write a network such as 10.0.0.0/8") from error


def _parse_nat64(text: str) -> IPv6Network:
    network = _parse_network("EVENTMILL_NAT64_PREFIXES", text)
    if not isinstance(network, IPv6Network) or network.prefixlen not in _NAT64_LENGTHS:
        lengths = ", ".join(map(str, _NAT64_LENGTHS))
        raise StartupError(f"EVENTMILL_NAT64_PREFIXES: {text} is not an IPv6 network with a prefix of {lengths} bits")
    return network


def _is_within(inner: _Network, outer: _Network) -> bool:
    return inner.network_address in outer and inner.broadcast_address in outer


def _low_ipv4(bits: int) -> IPv4Address:
    return IPv4Address(bits & _IPV4_BITS)


def _carried_by_nat64(bits: int, prefix_bits: int) -> IPv4Address:
    """The IPv4 address after the prefix; the unused octet, when it lies between, is left out."""
    if prefix_bits == 96:
        return _low_ipv4(bits)
    packed = bits >> 64 << 56 | bits & _AFTER_UNUSED_OCTET
    return IPv4Address(packed >> 120 - 32 - prefix_bits & _IPV4_BITS)
