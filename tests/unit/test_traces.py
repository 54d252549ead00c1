"""What traces may show."""

from __future__ import annotations

import pytest

from eventmill.flow.traces import shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://erp.example/hook", "https://erp.example/hook"),
        ("https://bob:p%40ss@erp.example:8443/hook?a=1", "https://***@erp.example:8443/hook?a=1"),
        ("http://token@127.0.0.1", "http://***@127.0.0.1"),
        ("https://a@b@erp.example/", "https://***@erp.example/"),
        ("https://erp.example/@team?to=a@b.example#@", "https://erp.example/@team?to=a@b.example#@"),
        ("https://erp.example?to=://a@b.example", "https://erp.example?to=://a@b.example"),
    ],
)
def test_user_information_is_masked(url: str, shown: str) -> None:
    """User and password of a webhook URL are hidden; an at sign elsewhere is left alone."""
    assert shown_url(url) == shown
