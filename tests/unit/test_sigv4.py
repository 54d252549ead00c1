"""`core.sigv4` against botocore, which signs for every AWS tool written in Python."""

from __future__ import annotations

import datetime
from unittest.mock import patch

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.sigv4 import Credentials, Scope, signed_headers

NOW_MS = 1_772_359_201_101
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


def boto_headers(
    url: str, headers: list[tuple[str, str]], body: bytes, scope: Scope, credentials: Credentials
) -> dict[str, str]:
    request = AWSRequest("POST", url, headers=dict(headers), data=body)
    keys = BotoCredentials(credentials.access_key_id, credentials.secret_access_key, credentials.session_token or None)
    then = datetime.datetime.fromtimestamp(NOW_MS / 1000, datetime.UTC).replace(tzinfo=None)
    with patch("botocore.auth.get_current_datetime", return_value=then):
        SigV4Auth(keys, scope.service, scope.region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    st.sampled_from(
        (
            "https://events.eu-west-1.amazonaws.com/",
            "https://events.cn-north-1.amazonaws.com.cn",
            "http://127.0.0.1:5000/",
            "https://bus.example:443/",
            "http://[::1]:8000/a path/%41/é",
        )
    ),
    st.lists(VISIBLE, max_size=3),
    st.binary(max_size=200),
    st.builds(Credentials, VISIBLE, VISIBLE, st.one_of(st.just(""), VISIBLE)),
    st.sampled_from((Scope("eu-west-1", "events"), Scope("us-east-1", "events"))),
)
def test_signs_as_botocore_does(
    url: str, values: list[str], body: bytes, credentials: Credentials, scope: Scope
) -> None:
    """Date, token and signature are the same for any headers, body, host and credentials."""
    url = url.replace(" ", "%20").replace("é", "%C3%A9")
    headers = [("content-type", "application/x-amz-json-1.1"), *((f"x-amz-{at}", v) for at, v in enumerate(values))]

    ours = dict(signed_headers(url, headers, body, scope, credentials, NOW_MS))
    theirs = boto_headers(url, headers, body, scope, credentials)

    assert ours == {name: theirs[name] for name in ours}
    assert "authorization" in ours and ("x-amz-security-token" in ours) is bool(credentials.session_token)
