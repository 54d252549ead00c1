"""The parts of commands that need no gateway: accounts, lengths of time, events from files, saved places, secrets."""

from __future__ import annotations

import io
import json
from pathlib import Path

import click
import msgspec
import pytest

from eventmill.cli.account import Named, find_account
from eventmill.cli.config import is_secret
from eventmill.cli.durations import duration_s, iso_seek
from eventmill.cli.listen_state import ListenState, StateFile, default_path
from eventmill.cli.outgoing import Shape, binary_request, event_id, read_outgoing
from eventmill.cli.remote import Failed
from eventmill.config import Config
from eventmill.errors import StartupError

VARIABLES = {"API_URL": "http://gw:8080", "IMS_ORG_ID": "A@AdobeOrg", "CLIENT_ID": "acme", "CLIENT_SECRET": "s"}
CONSOLE_FILE = {
    "project": {
        "id": "2001",
        "org": {"id": "1001", "ims_org_id": "A@AdobeOrg"},
        "workspace": {
            "id": "3001",
            "details": {
                "credentials": [
                    {"id": "1", "jwt": {}},
                    {
                        "id": "4001",
                        "oauth_server_to_server": {"client_id": "acme", "client_secrets": ["s"], "scopes": ["a", "b"]},
                    },
                ]
            },
        },
    }
}


def test_variables_name_the_gateway() -> None:
    """Hosts that no variable names are below the same URL."""
    account = find_account(Named(), VARIABLES)

    assert (account.api_url, account.ingress_url, account.ims_url) == (
        "http://gw:8080",
        "http://gw:8080/ingress",
        "http://gw:8080",
    )
    assert (account.client_id, account.client_secret, account.workspace_id) == ("acme", "s", "")


def test_another_gateway_gets_nothing_of_the_variables() -> None:
    """A URL and a token leave the variables' secret where it belongs."""
    account = find_account(Named(url="https://other", token="t"), VARIABLES)

    assert (account.api_url, account.access_token, account.client_id, account.client_secret) == (
        "https://other",
        "t",
        "",
        "",
    )


def test_the_consoles_file_is_for_adobes_service(tmp_path: Path) -> None:
    """The first OAuth credential in it; other hosts only where variables name them."""
    file = tmp_path / "workspace.json"
    file.write_text(json.dumps(CONSOLE_FILE))
    named = Named(console_file=str(file))
    adobe, local = find_account(named, {}), find_account(named, {"API_URL": "http://gw", "IMS_URL": "http://ims"})

    assert (adobe.api_url, adobe.ingress_url) == ("https://api.adobe.io", "https://eventsingress.adobe.io")
    assert (adobe.client_id, adobe.client_secret, adobe.scopes) == ("acme", "s", "a,b")
    assert (adobe.consumer_org_id, adobe.project_id, adobe.workspace_id) == ("1001", "2001", "3001")
    assert (local.api_url, local.ims_url) == ("http://gw", "http://ims")


def test_a_console_file_without_a_credential(tmp_path: Path) -> None:
    """It says what is missing in it."""
    file = tmp_path / "workspace.json"
    file.write_text(json.dumps(CONSOLE_FILE).replace("oauth_server_to_server", "other"))

    with pytest.raises(StartupError, match="has no OAuth server-to-server credential"):
        find_account(Named(console_file=str(file)), {})


def test_a_data_directory_that_is_not_there(tmp_path: Path) -> None:
    """Flags that say where the data are beat the variables."""
    with pytest.raises(StartupError, match="no gateway has its data in"):
        find_account(Named(data=str(tmp_path / "none")), VARIABLES)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5h", 5400), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    """As people type them."""
    assert duration_s(text) == seconds
    assert iso_seek(text) == f"-PT{seconds:g}S"


@pytest.mark.parametrize("text", ["", "h", "1x", "1h 30m", "-1h", "1h30"])
def test_no_length_of_time(text: str) -> None:
    """Refused, not guessed."""
    with pytest.raises(click.UsageError):
        duration_s(text)


def test_iso_durations_pass() -> None:
    """As the wire has them."""
    assert iso_seek("-P1D") == "-P1D"


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b'{"a":1.10}\n\n{"b":2}\n', [(1, b'{"a":1.10}'), (3, b'{"b":2}')]),
        (b'[{"a":1.10},{"b":2}]', [(1, b'{"a":1.10}'), (2, b'{"b":2}')]),
        (b'[\n{"a":1.10},\n{"b":2}\n]', [(1, b'{"a":1.10}'), (2, b'{"b":2}')]),
        (b'{\n"a":1.10\n}\n', [(1, b'{\n"a":1.10\n}')]),
        (b"", []),
    ],
)
def test_events_of_a_file(text: bytes, events: list[tuple[int, bytes]]) -> None:
    """Lines or one document, byte by byte."""
    assert list(read_outgoing(io.BytesIO(text), None)) == events


def test_a_file_that_is_neither() -> None:
    """Said, not sent."""
    with pytest.raises(Failed, match="line 1"):
        list(read_outgoing(io.BytesIO(b"{\n'a'\n}"), None))


def test_data_becomes_an_event() -> None:
    """With its digits; each with a new id unless one is given."""
    first, second = (each.event for each in read_outgoing(io.BytesIO(b"1.10\n2\n"), Shape("urn:uuid:p", "a.b")))

    assert first.endswith(b'"data":1.10}') and event_id(first) != event_id(second)
    assert json.loads(second)["type"] == "a.b"
    assert "data" not in json.loads(Shape("urn:uuid:p", "a.b", "x").wrap(None))


def test_binary_mode() -> None:
    """Attributes are headers, percent-encoded where they must be; the data is the body."""
    event = '{"id":"1","source":"s","type":"t","subject":"50% ü","flag":true,"none":null,"data":{"a":1.10}}'
    headers, body = binary_request(event.encode())

    assert body == b'{"a":1.10}'
    assert headers == {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "s",
        "ce-type": "t",
        "ce-subject": "50%25 %C3%BC",
        "ce-flag": "true",
    }


def test_a_place_is_saved_for_one(tmp_path: Path) -> None:
    """Written whole, read again, and nobody else may have it meanwhile."""
    path = tmp_path / "deep" / "state.json"
    file, state = StateFile(path), ListenState("r", "http://hook", "1.1.0.20260301.7", 7)
    assert file.read() is None
    file.write_durable(state)
    with pytest.raises(Failed, match="another `eventmill listen`"):
        StateFile(path)
    file.close()
    again = StateFile(path)

    assert again.read() == state
    assert sorted(each.name for each in path.parent.iterdir()) == ["state.json", "state.json.lock"]
    again.close()


def test_places_of_two_receivers() -> None:
    """Each pair of registration and receiver has its own."""
    home = {"HOME": "/home/u"}

    assert default_path(home, "r", "http://a") != default_path(home, "r", "http://b")
    assert str(default_path(home, "r", "http://a")).startswith("/home/u/.local/state/eventmill/listen/r-")


def test_every_secret_is_hidden() -> None:
    """A setting whose name sounds like a secret is one, unless it is known to be none."""
    hidden = {field.name for field in msgspec.structs.fields(Config) if is_secret(field.name, field.type)}

    assert {"seal_key", "smtp_password", "metrics_token", "runtime_auth", "aws_secret_access_key"} <= hidden
    assert {"console_oidc_client_secret"} <= hidden
    assert not hidden & {"client_key", "tls_key", "auth", "smtp_user", "data", "host"}
