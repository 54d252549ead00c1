"""The dial guard's decisions: both tiers, every disguise of an IPv4 address, and what settings open."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.send.netguard import DialGuard, DialRefusedError, is_named, read_named_hosts

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
        "address 10.1.2.3 is refused: private network (10.0.0.0/8); EVENTMILL_WEBHOOK_ALLOW_HOSTS, "
        "EVENTMILL_WEBHOOK_ALLOW_CIDRS or EVENTMILL_WEBHOOK_ALLOW_PRIVATE may allow it"
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


# --- Settings beyond networks ---


def test_private_networks_open_as_a_tier() -> None:
    """The setting opens them all and no forbidden address, not even a metadata service among them."""
    opened = DialGuard.of(Config(webhook_allow_private=True))
    for address in ("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.1.2.3"):
        assert opened.refusal(address) is None
    for address in ("127.0.0.1", "169.254.169.254", "100.100.100.200", "fd00:ec2::254", "::1", "224.0.0.1"):
        assert opened.refusal(address) is not None


def test_named_hosts_have_private_addresses_open() -> None:
    """For them alone; what is forbidden stays so whatever name leads there."""
    config = Config(webhook_allow_hosts=("erp.corp.example",))
    assert DialGuard.of(config).refusal("10.1.2.3") is not None
    named = DialGuard.of(config, for_named_hosts=True)
    assert named.refusal("10.1.2.3") is None
    assert named.refusal("127.0.0.1") is not None
    assert named.refusal("169.254.169.254") is not None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("erp.corp.example", True),
        ("ERP.Corp.Example.", True),
        ("a.plant.example", True),
        ("b.a.plant.example", True),
        ("plant.example", False),
        ("evilplant.example", False),
        ("xerp.corp.example", False),
        ("erp.corp.example.evil.example", False),
        ("corp.example", False),
        ("10.1.2.3", False),
        ("", False),
    ],
)
def test_names_match_whole_labels(host: str, expected: bool) -> None:
    """Exactly, or below a name that begins with a dot; case and the root's dot do not matter."""
    assert is_named(host, ("erp.corp.example", ".plant.example")) is expected


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "Corp.example", "*.corp.example", "corp..example", "a b", ".", "::1", "x:80"]
)
def test_what_is_no_host_name_stops_the_start(text: str) -> None:
    """Addresses belong to the networks, and nothing is a pattern."""
    with pytest.raises(StartupError, match="EVENTMILL_WEBHOOK_ALLOW_HOSTS"):
        read_named_hosts(Config(webhook_allow_hosts=(text,)))


def test_host_names_are_read() -> None:
    """Names, and domains with their dot."""
    names = ("localhost", "erp.corp.example", ".plant.example", "under_score.example")
    assert read_named_hosts(Config(webhook_allow_hosts=names)) == names


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ],
)
def test_translated_addresses_are_judged_by_what_they_reach(prefix: str, address: str) -> None:
    """The table of RFC 6052 section 2.4: all of them reach 192.0.2.33, once the prefix is configured."""
    text = DialGuard.of(Config(nat64_prefixes=(prefix,))).refusal(address)
    assert text is not None
    assert text.startswith("address 192.0.2.33 (reached through ")


def test_configured_prefix_opens_what_it_reaches() -> None:
    """A network's own NAT64 in a private range is a way to public addresses, and to no other."""
    guard = DialGuard.of(Config(nat64_prefixes=("64:ff9b:1:fffe::/96",)))
    assert guard.refusal("64:ff9b:1:fffe::8.8.8.8") is None
    assert guard.refusal("64:ff9b:1:fffe::127.0.0.1") is not None
    assert guard.refusal("64:ff9b:1::8.8.8.8") is not None


@pytest.mark.parametrize("text", ["10.0.0.0/8", "2001:db8::/33", "64:ff9b::1/96", "nonsense"])
def test_what_is_no_nat64_prefix_stops_the_start(text: str) -> None:
    """RFC 6052 knows six lengths."""
    with pytest.raises(StartupError, match="EVENTMILL_NAT64_PREFIXES"):
        DialGuard.of(Config(nat64_prefixes=(text,)))


@pytest.mark.parametrize(
    ("network", "address", "reached"),
    [
        ("2001::/32", "2001:0:7f00:1::f7f7:f7f7", "127.0.0.1"),
        ("2001::/32", "2001:0:808:808::80ff:fffe", "127.0.0.1"),
        ("::/96", "::127.0.0.1", "127.0.0.1"),
        ("::ffff:0:0:0/96", "::ffff:0:127.0.0.1", "127.0.0.1"),
        ("2002::/16", "2002:7f00:1::", "127.0.0.1"),
    ],
)
def test_an_allowed_carrier_opens_nothing_that_it_carries(network: str, address: str, reached: str) -> None:
    """Teredo's server and its client in disguise, IPv4-compatible, IPv4-translated, 6to4."""
    text = DialGuard.of(Config(webhook_allow_cidrs=(network,))).refusal(address)
    assert text is not None
    assert text.startswith(f"address {reached} (reached through ")


def test_denied_ports_are_refused_by_setting() -> None:
    """The default has those of mail servers and databases; the web's are open; 0 denies none that can be dialled."""
    guard = DialGuard.of(Config())
    for port in (80, 443, 8080, 8443, None):
        guard.refuse_port(port)
    for port in (22, 25, 5432, 6379):
        with pytest.raises(DialRefusedError, match=f"port {port} is refused; EVENTMILL_WEBHOOK_DENY_PORTS"):
            guard.refuse_port(port)
    DialGuard.of(Config(webhook_deny_ports=(0,))).refuse_port(25)
