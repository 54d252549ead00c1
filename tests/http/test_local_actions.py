"""Actions run from files: real Node.js and Python processes, in every way in which an action can end."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventmill.config import Config
from eventmill.ids import IdSource
from eventmill.send import local_actions
from eventmill.send.local_actions import LOG_BYTES_MAX, RESULT_BYTES_MAX, LocalActions
from eventmill.send.webhook import Response

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("node") is None, reason="the Node.js actions need node"),
]

PARAMS = b'{"id":"1","data":{"n":1},"__adobe_headers":{"x-request-id":"r"}}'
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    async def run_source(name: str, source: str, params: bytes = PARAMS, timeout_s: float = 30.0) -> Response:
        file = tmp_path / name
        file.write_text(source)
        actions = LocalActions(Config(dev=True, runtime_timeout_s=timeout_s), IdSource())
        return await actions.run(str(file), "pkg/act", params, "r1")

    return run_source


def body_of(response: Response) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.body)
    return body


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.js", "exports.main = (params) => ({ seen: params.data.n, headers: params.__adobe_headers })"),
        (
            "a.cjs",
            "async function main(p) { return { seen: p.data.n, headers: p.__adobe_headers } }\nexports.main = main",
        ),
        ("a.mjs", "export const main = async (p) => ({ seen: p.data.n, headers: p.__adobe_headers })"),
        ("a.py", "def main(p):\n    return {'seen': p['data']['n'], 'headers': p['__adobe_headers']}"),
    ],
)
async def test_an_action_gets_its_parameters(run: Run, name: str, source: str) -> None:
    """In both languages and all of JavaScript's module forms; what it returns is the result."""
    response = await run(name, source)

    assert response.status == 200
    body = body_of(response)
    assert body["result"] == {"seen": 1, "headers": {"x-request-id": "r"}}
    assert dict(response.headers)["x-openwhisk-activation-id"] == body["activation_id"]


@pytest.mark.parametrize(
    ("name", "source", "status", "error"),
    [
        ("a.js", "exports.main = () => ({ statusCode: 404 })", 404, None),
        ("a.js", "exports.main = () => {}", 200, None),
        ("a.js", "exports.main = () => 'text'", 500, "The action did not return a dictionary or array."),
        ("a.js", "exports.main = () => { throw new Error('no stock') }", 500, "An error has occurred: no stock"),
        ("a.js", "exports.main = () => ({ error: { statusCode: 400 } })", 400, {"statusCode": 400}),
        ("a.js", "exports.main = () => { const a = {}; a.a = a; return a }", 500, "The result is no JSON"),
        ("a.js", "exports.other = 1", 500, "Initialization has failed due to: the file exports no function named main"),
        ("a.js", "this is no JavaScript", 500, "Initialization has failed due to: "),
        ("a.js", "exports.main = () => process.exit(3)", 500, "The action did not produce a valid response"),
        ("a.py", "def main(p):\n    return {'statusCode': 503}", 503, None),
        ("a.py", "def main(p):\n    return 'text'", 500, "The action did not return a dictionary."),
        ("a.py", "def main(p):\n    raise ValueError('no stock')", 500, "An error has occurred: no stock"),
        ("a.py", "def main(p):\n    return {'error': {'statusCode': 429}}", 429, {"statusCode": 429}),
        ("a.py", "def main(p):\n    return {'a': object()}", 500, "An error has occurred: Object of type object"),
        ("a.py", "def other(p): pass", 500, "Initialization has failed: the file has no function named main"),
        ("a.py", "import nothing_like_this", 500, "Initialization has failed due to: "),
        ("a.py", "import os\ndef main(p):\n    os._exit(3)", 500, "The action did not produce a valid response"),
    ],
)  # fmt: skip
async def test_how_an_action_ends(run: Run, name: str, source: str, status: int, error: Any) -> None:
    """Errors are told apart as OpenWhisk does, and an action's own status decides in success and error alike."""
    response = await run(name, source)

    told = body_of(response).get("error")
    assert response.status == status
    assert told == error if not isinstance(error, str) else str(told).startswith(error)


async def test_logs_are_in_the_answer(run: Run) -> None:
    """What an action prints is for its author; a failing one says where it failed."""
    response = await run("a.js", "exports.main = () => { console.log('one'); console.error('two'); throw Error('x') }")

    logs = body_of(response)["logs"]
    assert logs[:2] == ["stdout: one", "stderr: two"]
    assert any("a.js:1" in line for line in logs)


async def test_an_action_that_hangs_is_killed(run: Run, tmp_path: Path) -> None:
    """After the time limit it and everything that it started are gone; the attempt counts as unanswered."""
    pids = tmp_path / "pids"
    source = (
        "import os, subprocess, sys, time\n"
        "def main(p):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"    open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "    time.sleep(600)\n"
    )

    response = await run("a.py", source, timeout_s=3.0)

    assert response.status == 604
    assert b"did not end within 3 s; activation_id " in response.body
    for pid in pids.read_text().split():
        assert await ends(int(pid))


async def test_an_action_cannot_leave_anything_behind(run: Run, tmp_path: Path) -> None:
    """A process that outlives the action and keeps its pipes open is ended; nobody waits for it."""
    pid = tmp_path / "pid"
    source = (
        "import subprocess, sys\n"
        "def main(p):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"    open({str(pid)!r}, 'w').write(str(child.pid))\n"
        "    return {}\n"
    )

    response = await run("a.py", source)

    assert response.status == 200
    assert await ends(int(pid.read_text()))


async def ends(pid: int) -> bool:
    """Whether the process is gone, or goes now: a signal takes a moment."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ready, _, _ = await asyncio.to_thread(select.select, [descriptor], [], [], 10)
    os.close(descriptor)
    return bool(ready)


async def test_large_output_is_bounded(run: Run) -> None:
    """Logs keep their beginning, a result beyond OpenWhisk's limit is an error; neither holds the action up."""
    noisy = await run("a.js", "exports.main = () => { process.stdout.write('x'.repeat(5e6)); return {} }")
    huge = await run("a.py", "def main(p):\n    return {'a': 'x' * 5_000_000}")

    assert (noisy.status, len(body_of(noisy)["logs"][0])) == (200, LOG_BYTES_MAX + len("stdout: "))
    assert (huge.status, body_of(huge)["error"]) == (
        500,
        f"The action's result is larger than {RESULT_BYTES_MAX} bytes.",
    )


async def test_large_parameters(run: Run) -> None:
    """More than a pipe holds at once arrives whole; an action that never reads it does no harm."""
    params = json.dumps({"data": "x" * 3_000_000}).encode()
    reads = await run("a.js", "exports.main = (p) => ({ n: p.data.length })", params)
    ignores = await run("a.py", "import os\nos._exit(0)", params)

    assert body_of(reads)["result"] == {"n": 3_000_000}
    assert ignores.status == 500


async def test_an_action_sees_no_secrets_of_the_gateway(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is the gateway's without the gateway's settings and AWS credentials, and with OpenWhisk's."""
    monkeypatch.setitem(os.environ, "EVENTMILL_SEAL_KEY", "secret")
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setitem(os.environ, "FOR_ACTIONS", "yes")
    response = await run("a.js", "exports.main = () => ({ env: process.env })")

    seen = body_of(response)["result"]["env"]
    assert not [name for name in seen if name.startswith(("EVENTMILL_", "AWS_"))]
    assert (seen["FOR_ACTIONS"], seen["__OW_ACTION_NAME"]) == ("yes", "/_/pkg/act")
    assert seen["__OW_ACTIVATION_ID"] == body_of(response)["activation_id"]


async def test_few_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one place, actions run one after the other, however many deliveries there are."""
    monkeypatch.setattr(local_actions, "RUNNING_MAX", 1)
    file, journal = tmp_path / "a.js", tmp_path / "journal"
    note = f"const note = (w) => require('node:fs').appendFileSync({str(journal)!r}, w)\n"
    pause = "await new Promise((done) => setTimeout(done, 50))"
    file.write_text(f"{note}exports.main = async () => {{ note('begin '); {pause}; note('end '); return {{}} }}")
    actions = LocalActions(Config(dev=True), IdSource())

    await asyncio.gather(*(actions.run(str(file), "pkg/act", PARAMS, "r1") for _ in range(3)))

    assert journal.read_text().split() == ["begin", "end"] * 3


async def test_a_file_that_is_not_there() -> None:
    """The operator's affair: the attempt counts against nobody, and the text names the setting and the file."""
    response = await LocalActions(Config(dev=True), IdSource()).run("/nowhere/a.js", "pkg/act", PARAMS, "r1")

    assert (response.status, response.blames_endpoint) == (601, False)
    assert b"EVENTMILL_RUNTIME_ACTIONS: /nowhere/a.js cannot be run" in response.body
