"""`eventmill.config` and `config_sources`: precedence, reading values from text, refusals that name cause and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventmill.config import Config
from eventmill.config_sources import load_config, unknown_variables
from eventmill.errors import StartupError


def test_defaults_need_nothing() -> None:
    """No flag and no variable is needed."""
    assert load_config({}, {}) == Config()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"dev": True}, False),
        ({"dev": True, "host": "0.0.0.0"}, True),
        ({"dev": True, "host": "::"}, True),
        ({"dev": True, "host": "192.168.1.5"}, True),
        ({"dev": True, "host": "mill.example"}, True),
        ({"dev": True, "host": "::1"}, False),
        ({"dev": True, "host": "127.1.2.3"}, False),
        ({"dev": True, "host": "::ffff:127.0.0.1"}, False),
        ({"dev": True, "host": "localhost"}, False),
        ({"dev": True, "host": "0.0.0.0", "auth": "strict"}, False),
        ({"host": "0.0.0.0", "auth": "lenient"}, True),
        ({"host": "0.0.0.0"}, False),
    ],
)
def test_open_to_others(settings: dict[str, Any], expected: bool) -> None:
    """Unchecked tokens on an address that other machines reach: what the log warns of."""
    assert Config(**settings).is_open_to_others is expected


@pytest.mark.parametrize("name", ["token_lifetime_s", "refresh_token_lifetime_s"])
def test_tokens_live_for_a_while(name: str) -> None:
    """Tokens that are over when they are made would lock everybody out."""
    with pytest.raises(StartupError, match=name.upper()):
        load_config({}, {f"EVENTMILL_{name.upper()}": "0"})


def test_flag_beats_environment_beats_default() -> None:
    """The three sources rank as documented, setting by setting."""
    config = load_config({"port": 9001, "data": None}, {"EVENTMILL_PORT": "9002", "EVENTMILL_DATA": "/tmp/mill"})

    assert (config.port, config.data, config.host) == (9001, "/tmp/mill", "127.0.0.1")


def test_every_setting_is_read_from_its_variable(tmp_path: Path) -> None:
    """The variable of a setting is the prefix and its name in capitals, without exception."""
    samples = {bool: "true", int: "11", float: "2.5", str: "some", tuple[str, ...]: "10.0.0.0/8,192.168.0.0/16"}
    samples[tuple[int, ...]] = "22, 25"
    variables = {}
    for field in msgspec.structs.fields(Config):
        variables["EVENTMILL_" + field.name.upper()] = samples.get(field.type, "")
    variables |= {"EVENTMILL_AUTH": "strict", "EVENTMILL_LOG_FORMAT": "json", "EVENTMILL_LOG_LEVEL": "debug"}
    variables["EVENTMILL_CATALOG_DELIVERY_FORMAT"] = "cloud_events_v1"
    variables |= {"EVENTMILL_ADOBE_HOSTS": "api.adobe.io", "EVENTMILL_BASE_URL": "https://events.example.com"}
    variables |= dict.fromkeys(("EVENTMILL_OIDC_ISSUER", "EVENTMILL_OIDC_JWKS_URL"), "https://issuer.example")
    (tmp_path / "secret").write_text("from-a-file")
    secrets = (
        "RUNTIME_AUTH",
        "AWS_SECRET_ACCESS_KEY",
        "SMTP_PASSWORD",
        "METRICS_TOKEN",
        "CONSOLE_OIDC_CLIENT_SECRET",
    )
    secret_files = [f"EVENTMILL_{name}_FILE" for name in secrets]
    variables |= {"EVENTMILL_RETRY_JITTER_SHARE": "0.25", "EVENTMILL_ROLES": "deliver, front"}
    variables |= {"EVENTMILL_STATE_RULES": "v1", "EVENTMILL_EARLY_RECOVERY": "off"}
    variables |= {"EVENTMILL_SMTP_TLS": "tls", "EVENTMILL_CONSOLE_URL": "https://console.example.com"}
    variables |= dict.fromkeys(("EVENTMILL_MAIL_FROM", "EVENTMILL_NOTICE_RECIPIENTS"), "ops@example.com")
    variables |= {"EVENTMILL_EVENTBRIDGE_MODE": "custom", **dict.fromkeys(secret_files, str(tmp_path / "secret"))}

    config = load_config({}, variables)

    unread = [name for name in Config.__struct_fields__ if getattr(config, name) == getattr(Config(), name)]
    assert [name for name in unread if name != "legacy_fields"] == []


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("FALSE", False), ("1", True), ("0", False)]
)
def test_booleans(text: str, value: bool) -> None:
    """Booleans are words or digits, in any case."""
    assert load_config({}, {"EVENTMILL_DEV": text}).dev is value


@pytest.mark.parametrize(
    ("text", "networks"),
    [("10.0.0.0/8", ("10.0.0.0/8",)), (" 10.0.0.0/8 , ::1/128 ,", ("10.0.0.0/8", "::1/128")), ("", ())],
)
def test_lists_are_comma_separated(text: str, networks: tuple[str, ...]) -> None:
    """Blanks around members and a trailing comma do no harm."""
    assert load_config({}, {"EVENTMILL_WEBHOOK_ALLOW_CIDRS": text}).webhook_allow_cidrs == networks


def test_an_empty_variable_is_the_default() -> None:
    """`EVENTMILL_PORT= eventmill serve` is no error: compose files write such lines."""
    assert load_config({}, {"EVENTMILL_PORT": ""}).port == 8080


@pytest.mark.parametrize(
    ("flags", "variables", "named"),
    [
        ({"port": "many"}, {}, "--port='many' cannot be used: it must be a whole number"),
        ({"port": 70000}, {}, "--port=70000 is not a TCP port"),
        (
            {},
            {"EVENTMILL_DRAIN_TIMEOUT_S": "soon"},
            "EVENTMILL_DRAIN_TIMEOUT_S='soon' cannot be used: it must be a num",
        ),
        ({}, {"EVENTMILL_WEBHOOK_DENY_PORTS": "22,x"}, "'22,x' cannot be used: it must be a list, separated by commas"),
        ({"base_url": 5}, {}, "--base-url=5"),
        ({"base_url": "events.example.com"}, {}, "--base-url='events.example.com' cannot begin links"),
        ({}, {"EVENTMILL_BASE_URL": "ftp://x"}, "EVENTMILL_BASE_URL='ftp://x'"),
        ({"base_url": "http://x/?a=b"}, {}, "--base-url='http://x/?a=b'"),
        ({"base_url": "http://x:99999"}, {}, "--base-url='http://x:99999'"),
        ({"base_url": "http://me:pw@x"}, {}, "--base-url='http://me:pw@x'"),
        (
            {},
            {"EVENTMILL_AUTH": "loose"},
            "EVENTMILL_AUTH='loose' cannot be used: it must be one of strict, lenient",
        ),
        ({}, {"EVENTMILL_DEV": "perhaps"}, "EVENTMILL_DEV='perhaps' cannot be used: it must be true or false"),
        ({}, {"EVENTMILL_JOURNAL_PAGE_EVENTS": "-1"}, "EVENTMILL_JOURNAL_PAGE_EVENTS"),
        ({}, {"EVENTMILL_LANE_IN_FLIGHT_MAX": "0"}, "EVENTMILL_LANE_IN_FLIGHT_MAX must be at least 1, but is 0"),
    ],
)
def test_refusals_name_the_source(flags: dict[str, object], variables: dict[str, str], named: str) -> None:
    """A value that cannot be used stops the start and says which flag or variable it was."""
    with pytest.raises(StartupError) as refusal:
        load_config(flags, variables)

    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("config", "url"),
    [
        (Config(port=9000), "http://127.0.0.1:9000"),
        (Config(base_url="https://events.example.com/"), "https://events.example.com"),
    ],
)
def test_public_base_url(config: Config, url: str) -> None:
    """Without a base URL, loopback and the port; never with a slash at the end, since paths are appended."""
    assert config.url == url


@pytest.mark.parametrize(
    ("config", "lenient"),
    [
        (Config(), False),
        (Config(dev=True), True),
        (Config(dev=True, auth="strict"), False),
        (Config(auth="lenient"), True),
    ],
)
def test_who_is_lenient(config: Config, lenient: bool) -> None:
    """Tokens are checked unless it is dev mode or was asked for."""
    assert config.lenient is lenient


def test_dev_mode_has_no_delivery_children() -> None:
    """One process in dev mode; outside at least one delivery process, however few the cores."""
    assert Config(dev=True, delivery_processes=3).delivery_children == 0
    assert Config(delivery_processes=3).delivery_children == 3
    assert Config().delivery_children >= 1


def test_roles_of_a_node() -> None:
    """Both unless one is named; a node that is no deliverer starts no delivery process."""
    for roles, expected in (
        ({}, (True, True)),
        ({"roles": "front"}, (True, False)),
        ({"roles": "deliver"}, (False, True)),
    ):
        config = load_config(roles, {})
        assert (config.is_front, config.delivers) == expected
        assert bool(config.delivery_children) == config.delivers
    with pytest.raises(StartupError, match="'back' is not a role; there are front and deliver"):
        load_config({"roles": "front,back"}, {})


@pytest.mark.parametrize(
    "host", ["API.adobe.io", "api.adobe.io:443", "*.adobe.io", "https://api.adobe.io", "a..b", "-a"]
)
def test_adobe_hosts_are_plain_names(host: str) -> None:
    """A port, a wildcard or a URL would never match a request; it is refused, not ignored."""
    with pytest.raises(StartupError, match=r"ADOBE_HOSTS.*not a host name"):
        load_config({}, {"EVENTMILL_ADOBE_HOSTS": f"api.adobe.io,{host}"})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"SMTP_HOST": "mail.example"}, "EVENTMILL_MAIL_FROM"),
        ({"MAIL_FROM": "Eventmill <events@example.com>"}, "EVENTMILL_MAIL_FROM"),
        ({"MAIL_FROM": "events@example.com\nBcc: all@example.com"}, "EVENTMILL_MAIL_FROM"),
        ({"NOTICE_RECIPIENTS": "ops@example.com, everybody"}, "'everybody' is not a mail address"),
        ({"NOTICE_RECIPIENTS": "a@" + "b." * 130 + "example"}, "EVENTMILL_NOTICE_RECIPIENTS"),
        ({"SMTP_USER": "events"}, "EVENTMILL_SMTP_PASSWORD"),
        ({"SMTP_PASSWORD": "secret"}, "EVENTMILL_SMTP_USER"),
        ({"SMTP_HOST": "m.example", "MAIL_FROM": "e@m.example", "SMTP_TLS": "off", "SMTP_USER": "e"}, "to read"),
        ({"CONSOLE_URL": "console.example.com"}, "EVENTMILL_CONSOLE_URL='console.example.com' cannot begin links"),
        ({"NOTICE_DAYS": "0"}, "EVENTMILL_NOTICE_DAYS must be at least 1"),
    ],
)
def test_refused_mail_settings(settings: dict[str, str], named: str) -> None:
    """What cannot work, or would send a password for anyone to read, stops the start."""
    variables = {f"EVENTMILL_{name}": value for name, value in settings.items()}
    if "SMTP_TLS" in settings:
        variables["EVENTMILL_SMTP_PASSWORD"] = "secret"
    with pytest.raises(StartupError) as refusal:
        load_config({}, variables)

    assert named in str(refusal.value)


def test_mail_through_this_machine_needs_no_tls() -> None:
    """A relay on loopback may take a password in plain text."""
    variables = {"HOST": "127.0.0.1", "TLS": "off", "USER": "events", "PASSWORD": "secret"}
    config = load_config(
        {"mail_from": "e@m.example"}, {f"EVENTMILL_SMTP_{name}": each for name, each in variables.items()}
    )

    assert (config.smtp_tls, config.captures_mail) == ("off", False)


def test_a_tls_key_needs_its_certificate() -> None:
    """A key alone would be left unused silently."""
    with pytest.raises(StartupError, match="EVENTMILL_TLS_CERT"):
        load_config({}, {"EVENTMILL_TLS_KEY": "server.key"})


def test_variables_that_are_no_settings() -> None:
    """A misspelt variable is found, with what it was probably meant to be; what the command line reads is not one."""
    environ = dict.fromkeys(
        ("EVENTMILL_WEBHOOK_TIMEOUT", "EVENTMILL_TOKEN", "EVENTMILL_PORT", "EVENTMILL_ZZ", "PATH"), "1"
    )

    assert unknown_variables(environ) == {
        "EVENTMILL_WEBHOOK_TIMEOUT": "EVENTMILL_WEBHOOK_TIMEOUT_S",
        "EVENTMILL_ZZ": "",
    }
    assert unknown_variables({"EVENTMILL_DATA": "d"}) == {}


@pytest.mark.parametrize(("name", "value"), [("retry_after_max_s", "901"), ("retry_jitter_share", "1.01")])
def test_retries_stay_inside_their_schedule(name: str, value: str) -> None:
    """What would move them beyond it stops the start, with the name of the variable."""
    with pytest.raises(StartupError, match=name.upper()):
        load_config({}, {f"EVENTMILL_{name.upper()}": value})
