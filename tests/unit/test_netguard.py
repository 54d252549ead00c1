"""The dial guard's decisions: both tiers, every disguise of an IPv4 address, and what settings open."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.send.netguard import DialGuard, DialRefusedError

CLOSED = DialGuard()


def guard(*cidrs: str, dev: bool = False) -> DialGuard:
    return DialGuard.of(Config(dev=dev, webhook_allow_cidrs=cidrs))


def disguises(address: IPv4Address) -> list[str]:
    """IPv6 addresses that reach an IPv4 one: mapped, NAT64, 6to4, ISATAP (local and global)."""
    bits = int(address)
    return [
        str(IPv6Address((0xFFFF << 32) | bits)),
        f"::ffff:{address}",
        str(IPv6Address((0x64FF9B << 96) | bits)),
        str(IPv6Address((0x2002 << 112) | (bits << 80) | 1)),
        str(IPv6Address((0x2A00 << 112) | (0x5EFE << 32) | bits)),
        str(IPv6Address((0x2A00 << 112) | (0x02005EFE << 32) | bits)),
    ]


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.0", "100.63.255.255", "2606:4700::1111"],
)
def test_public_addresses_are_open(address: str) -> None:
    """The neighbours of closed ranges included."""
    assert CLOSED.refusal(address) is None


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("127.0.0.1", "loopback (127.0.0.0/8)"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback (::1/128)"),
        ("169.254.169.254", "link-local (169.254.0.0/16)"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("0.0.0.0", "this host"),
        ("::", "this host"),
        ("10.1.2.3", "private network (10.0.0.0/8)"),
        ("172.16.0.1", "private network"),
        ("192.168.1.1", "private network"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.100.100.200", "cloud metadata"),
        ("168.63.129.16", "cloud metadata"),
        ("fd00:ec2::254", "cloud metadata"),
        ("fd12:3456::1", "unique local"),
        ("fec0::1", "site-local"),
        ("64:ff9b:1::a00:1", "local NAT64"),
        ("192.0.0.192", "protocol assignments"),
        ("198.18.0.1", "benchmarking"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved or broadcast"),
        ("ff02::1", "multicast"),
        ("2001:0:4136:e378::1", "protocol assignments"),
        ("2001:db8::1", "documentation"),
        ("5f00::1", "segment routing"),
        ("::127.0.0.1", "not global unicast"),
        ("::ffff:0:127.0.0.1", "not global unicast"),
        ("4000::1", "not global unicast"),
        ("not-an-address", "not an IP address"),
    ],
)
def test_closed_addresses_name_their_rule(address: str, rule: str) -> None:
    """One of each range."""
    text = CLOSED.refusal(address)
    assert text is not None
    assert rule in text


def test_text_names_address_and_setting() -> None:
    """Enough to see what to change: private ranges open with any network around the address, forbidden ones do not."""
    assert CLOSED.refusal("10.1.2.3") == (
        "address 10.1.2.3 is refused: private network (10.0.0.0/8); EVENTMILL_WEBHOOK_ALLOW_CIDRS may allow it"
    )
    assert CLOSED.refusal("::ffff:127.0.0.1") == (
        "address 127.0.0.1 (reached through ::ffff:7f00:1) is refused: loopback (127.0.0.0/8); "
        "EVENTMILL_WEBHOOK_ALLOW_CIDRS may allow it by naming a network within that range"
    )


@given(st.ip_addresses(v=4))
def test_disguised_address_is_judged_as_the_plain_one(address: IPv4Address) -> None:
    """No IPv6 spelling opens what its IPv4 address closes, nor closes what it opens."""
    plain = CLOSED.refusal(str(address))
    for disguise in disguises(address):
        assert (CLOSED.refusal(disguise) is None) is (plain is None), disguise


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_is_not_global_is_closed(address: IPv4Address | IPv6Address) -> None:
    """The standard library's table of special-purpose addresses as oracle."""
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    if not mapped and (not address.is_global or address.is_multicast):
        assert CLOSED.refusal(str(address)) is not None


def test_allowed_network_opens_what_lies_in_it() -> None:
    """And only that; disguises of it too."""
    opened = guard("10.1.0.0/16", "fd12::/16")
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12:3456::1"):
        assert opened.refusal(address) is None
    for address in ("10.2.0.1", "127.0.0.1", "192.168.0.1", "fd13::1"):
        assert opened.refusal(address) is not None


def test_everything_allowed_still_forbids_loopback_and_metadata() -> None:
    """A network around everything opens private ranges; forbidden ones must be named."""
    opened = guard("0.0.0.0/0", "::/0")
    for address in ("10.0.0.1", "192.168.0.1", "100.64.0.1", "fd12::1"):
        assert opened.refusal(address) is None
    for address in ("127.0.0.1", "169.254.169.254", "100.100.100.200", "fd00:ec2::254", "::1", "0.0.0.0", "224.0.0.1"):
        assert opened.refusal(address) is not None


def test_forbidden_range_opens_by_name() -> None:
    """A network within the range is a clear enough wish."""
    opened = guard("127.0.0.0/8", "169.254.10.0/24", "fe80::/10")
    for address in ("127.0.0.1", "169.254.10.1", "fe80::1%eth0", "::ffff:127.0.0.1"):
        assert opened.refusal(address) is None
    for address in ("169.254.169.254", "::1"):
        assert opened.refusal(address) is not None


def test_dev_mode_opens_loopback_only() -> None:
    """The emulator reaches the developer's machine and nothing else around it."""
    opened = guard(dev=True)
    for address in ("127.0.0.1", "127.8.8.8", "::1"):
        assert opened.refusal(address) is None
    for address in ("10.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0"):
        assert opened.refusal(address) is not None


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "example.com", "::/200"])
def test_what_is_no_network_stops_the_start(text: str) -> None:
    """The message names variable and value."""
    with pytest.raises(StartupError, match="EVENTMILL_WEBHOOK_ALLOW_CIDRS") as raised:
        guard(text)
    assert text.partition("/")[0] in raised.value.args[0]


def test_socket_factory_makes_no_socket_for_a_refused_address() -> None:
    """It raises before there is anything to connect; an open address gets its socket, of the right family."""
    with pytest.raises(DialRefusedError, match="loopback"):
        CLOSED.open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    with CLOSED.open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("1.1.1.1", 80))) as made:
        assert made.family == socket.AF_INET
