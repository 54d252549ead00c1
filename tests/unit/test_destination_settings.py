"""Settings of Runtime actions and event buses: what a start refuses, and secrets that come in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventmill.config import Config
from eventmill.config_sources import load_config
from eventmill.errors import StartupError
from eventmill.send.destination_settings import check_destination_settings
from eventmill.send.eventbridge import find_credentials

AUTH = {"runtime_auth": "user:key"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"runtime_actions": ("pkg/act=https://a.example/run?x=1", "pkg/other=http://127.0.0.1:9080/a")},
        {"runtime_actions": ("pkg/act=./actions/a b.js", "pkg/py=/srv/act.py", "pkg/m=a.mjs"), "dev": True},
        {"runtime_apihost": "https://adobeioruntime.net", **AUTH},
        {"eventbridge_mode": "custom", "eventbridge_endpoint": "http://127.0.0.1:5000/"},
        {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret"},
    ],
)
def test_settings_that_can_be_used(settings: dict[str, Any]) -> None:
    """Each by itself; credentials may come from the environment instead."""
    check_destination_settings(Config(**settings))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"runtime_actions": ("act=https://a.example",)}, "'act=https://a.example' is not <package>/<action>=<URL"),
        ({"runtime_actions": ("pkg/act",)}, "is not <package>/<action>=<URL or file>"),
        ({"runtime_actions": ("pkg/act=",)}, "is not <package>/<action>=<URL or file>"),
        ({"runtime_actions": ("pkg/act=http://:80/",)}, "must be an absolute http or https URL"),
        ({"runtime_actions": ("pkg/act=act.ts",), "dev": True}, "neither a URL nor a file that ends in .js"),
        ({"runtime_actions": ("pkg/act=act.js",)}, "dev mode only"),
        ({"runtime_apihost": "adobeioruntime.net", **AUTH}, "EVENTMILL_RUNTIME_APIHOST must be an absolute"),
        ({"runtime_apihost": "https://ow.example", "runtime_auth": "key"}, "as <user>:<key>"),
        ({"eventbridge_endpoint": "ftp://bus.example"}, "EVENTMILL_EVENTBRIDGE_ENDPOINT must be an absolute"),
        ({"aws_secret_access_key": "secret"}, "need each other"),
    ],
)
def test_settings_that_cannot(settings: dict[str, Any], told: str) -> None:
    """The message names the setting, and shows no secret."""
    with pytest.raises(StartupError) as refused:
        check_destination_settings(Config(**settings))

    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_mapped_actions() -> None:
    """A target may hold `=` itself."""
    config = Config(runtime_actions=("pkg/act=https://a.example/?a=b", "pkg/b=b.js"))

    assert config.mapped_actions == {"pkg/act": "https://a.example/?a=b", "pkg/b": "b.js"}


def test_secrets_in_files(tmp_path: Path) -> None:
    """The file's content without the line break at its end, in place of the variable's."""
    (tmp_path / "auth").write_text("user:key\n")
    config = load_config(
        {}, {"EVENTMILL_RUNTIME_AUTH_FILE": str(tmp_path / "auth"), "EVENTMILL_RUNTIME_AUTH": "old:one"}
    )

    assert config.runtime_auth == "user:key"
    with pytest.raises(StartupError, match=r"EVENTMILL_AWS_SECRET_ACCESS_KEY_FILE='/nowhere' cannot be read"):
        load_config({}, {"EVENTMILL_AWS_SECRET_ACCESS_KEY_FILE": "/nowhere"})


def test_aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings' go before the environment's, and are never mixed with them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert find_credentials(Config()) is None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKENV")
    assert find_credentials(Config()) is None
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "env-token")
    from_environment = find_credentials(Config())
    from_settings = find_credentials(Config(aws_access_key_id="AKSET", aws_secret_access_key="set-secret"))

    assert from_environment is not None and from_settings is not None
    assert (from_environment.access_key_id, from_environment.session_token) == ("AKENV", "env-token")
    assert (from_settings.access_key_id, from_settings.secret_access_key) == ("AKSET", "set-secret")
    assert from_settings.session_token == ""
