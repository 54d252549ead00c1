"""Recordings: what is left out of them, files that are none, and a day's events recorded here and replayed there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventmill.testing import Recording
from eventmill.testing.recording import FORMAT, mask
from tests.client.test_pages import blocks
from tests.client.test_plugin import run_pytest
from tests.client.test_scenarios import EVENT_CODE, registration_body


def test_secrets_are_masked_at_any_depth() -> None:
    """By the names of members, in objects and lists; nothing else changes."""
    event = {"data": [{"headers": {"Authorization": "Bearer x", "accept": "*/*"}}, {"clientSecret": {"a": 1}}], "n": 1}
    assert mask(event) == {
        "data": [{"headers": {"Authorization": "***", "accept": "*/*"}}, {"clientSecret": "***"}],
        "n": 1,
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no recording"),
        ('{"id": "1"}', "is no recording"),
        (f"{json.dumps(FORMAT)}\n[]", "line 2: not a JSON object"),
        (f'{json.dumps(FORMAT)}\n{{"id": "1", "source": "s"}}', "line 2: no CloudEvent, it has no type"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """With the line."""
    (tmp_path / "file.jsonl").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        Recording.load(tmp_path / "file.jsonl")


@pytest.mark.slow
def test_what_is_recorded_here_is_replayed_there(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two blocks of the page: one records from this gateway, the other replays on a gateway of its own."""
    from eventmill.client import Client

    with Client.from_env(env) as client:
        provider = client.create_provider({"label": "Warehouse"})
        metadata = {"event_code": EVENT_CODE, "label": "Stock low", "description": "An article runs out"}
        client.create_event_metadata_for_provider(provider["id"], metadata)  # type: ignore[arg-type]
        client.create_registration(registration_body(provider["id"], "Stock reader"))  # type: ignore[arg-type]
        for sku in ("A1", "B2"):
            data = {"sku": sku, "apiKey": "hunter2"}
            client.publish_event({"id": f"order-{sku}", "source": provider["source"], "type": EVENT_CODE, "data": data})

    monkeypatch.chdir(tmp_path)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    _, recording, replaying = blocks("testing.md", "python")[:3]
    exec(compile(recording, "testing.md", "exec"), {})
    text = (tmp_path / "orders.jsonl").read_text()
    assert "hunter2" not in text and env["CLIENT_ID"] not in text

    (tmp_path / "test_page.py").write_text(replaying)
    done = run_pytest(tmp_path, "-c", "/dev/null")
    assert done.returncode == 0, done.stdout + done.stderr
