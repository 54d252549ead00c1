"""Runs a Runtime action from a file, in a process of its own, as the action runtimes of Apache OpenWhisk do.

For development: the file has the rights of the gateway. Bounded in time, in size of result and logs, and in how many
run at once; whatever an action started is killed with it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from eventmill.config import KIB, MIB, Config
from eventmill.core.openwhisk import Kind, judge_activation
from eventmill.errors import TraceCode
from eventmill.ids import IdSource
from eventmill.send.client_error import client_error
from eventmill.send.failures import explain_failure
from eventmill.send.webhook import Response

RESULT_BYTES_MAX = 1 * MIB
LOG_BYTES_MAX = 16 * KIB
"""Kept of standard output and standard error each."""
RUNNING_MAX = 4
"""Processes at once; the others wait, and their time has not begun."""

_RUNNERS = Path(__file__).parent / "action_runners"
_HIDDEN = ("EVENTMILL_", "AWS_")
"""Variables that begin so are the gateway's own and may hold secrets."""


class _Outcome(msgspec.Struct):
    kind: Kind
    result: Any


class _Ran(msgspec.Struct, frozen=True):
    outcome: bytes | None
    """What the runner told; None when it was too much."""
    logs: tuple[str, ...]
    code: int


class LocalActions:
    def __init__(self, config: Config, ids: IdSource) -> None:
        self._timeout_s = config.runtime_timeout_s
        self._namespace = config.runtime_namespace
        self._ids = ids
        self._places = asyncio.Semaphore(RUNNING_MAX)

    async def run(self, path: str, action: str, params: bytes, registration_id: str) -> Response:
        """What an activation of the action in the file came to. Raises nothing but `CancelledError`."""
        activation_id = self._ids.random(16).hex()
        async with self._places:
            started_s = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(self._timeout_s):
                    ran = await self._run(path, self._variables(action, activation_id), params)
            except TimeoutError:
                cause = f"the action did not end within {self._timeout_s:g} s; activation_id {activation_id}"
                body = explain_failure(TraceCode.TIMEOUT, [cause], self._ids, registration_id=registration_id)
                return Response(int(TraceCode.TIMEOUT), (), body, duration_ms=_since(started_s))
            except OSError as error:
                cause = f"EVENTMILL_RUNTIME_ACTIONS: {path} cannot be run: {error}"
                return client_error(cause, self._ids, registration_id)
        verdict = judge_activation(*_outcome(ran), activation_id, ran.logs)
        headers = (("content-type", "application/json"), ("x-openwhisk-activation-id", activation_id))
        return Response(verdict.status, headers, verdict.body, duration_ms=_since(started_s))

    def _variables(self, action: str, activation_id: str) -> dict[str, str]:
        deadline_ms = int((time.time() + self._timeout_s) * 1000)
        return {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)} | {
            "__OW_ACTION_NAME": f"/{self._namespace}/{action}",
            "__OW_ACTIVATION_ID": activation_id,
            "__OW_DEADLINE": str(deadline_ms),
            "__OW_NAMESPACE": self._namespace,
        }

    async def _run(self, path: str, variables: dict[str, str], params: bytes) -> _Ran:
        """Raises `OSError` when the file or what runs it is not there."""
        file = _existing(path)
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *_command(file),
                str(writing),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(writing,),
                start_new_session=True,
                cwd=file.parent,
                env=variables,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        try:
            return await _attend(process, reading, params)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _existing(path: str) -> Path:
    return Path(path).resolve(strict=True)


def _command(file: Path) -> list[str]:
    """Raises `FileNotFoundError` when there is no Node.js for a JavaScript file."""
    if file.suffix == ".py":
        return [shutil.which("python3") or sys.executable, str(_RUNNERS / "run_action.py"), str(file)]
    node = shutil.which("node")
    if node is None:
        raise FileNotFoundError("there is no node on the PATH")
    return [node, str(_RUNNERS / "run_action.mjs"), str(file)]


async def _attend(process: asyncio.subprocess.Process, reading: int, params: bytes) -> _Ran:
    """Until the action has its outcome, or ended without. Whatever it leaves behind would keep the pipes open: it is
    killed then."""
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    results = asyncio.StreamReader(limit=RESULT_BYTES_MAX)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(results), os.fdopen(reading, "rb", 0)
    )
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_write(process.stdin, params))
            streams = [group.create_task(_read(stream)) for stream in (process.stdout, process.stderr)]
            outcome = await _read_outcome(results)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    finally:
        transport.close()
    logs = [
        f"{name}: {line}"
        for name, stream in zip(("stdout", "stderr"), streams, strict=True)
        for line in stream.result().decode("utf-8", "replace").splitlines()
    ]
    return _Ran(outcome, tuple(logs), await process.wait())


async def _write(stream: asyncio.StreamWriter, params: bytes) -> None:
    with suppress(ConnectionError):  # it ended without reading; its outcome tells
        stream.write(params)
        await stream.drain()
    stream.close()


async def _read_outcome(results: asyncio.StreamReader) -> bytes | None:
    """The line that the runner writes, or as much as came of it; None when it is too long."""
    try:
        return await results.readuntil()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError:
        return None


async def _read(stream: asyncio.StreamReader) -> bytes:
    """The first bytes of the stream; the rest is thrown away, so that nobody waits for a reader."""
    kept = bytearray()
    while chunk := await stream.read(64 * KIB):
        kept += chunk[: LOG_BYTES_MAX - len(kept)]
    return bytes(kept)


def _outcome(ran: _Ran) -> tuple[Kind, Any]:
    if ran.outcome is None:
        return "application error", {"error": f"The action's result is larger than {RESULT_BYTES_MAX} bytes."}
    try:
        outcome = msgspec.json.decode(ran.outcome, type=_Outcome)
    except (msgspec.DecodeError, RecursionError):
        text = f"The action did not produce a valid response; its process ended with {ran.code}."
        return "action developer error", {"error": text}
    return outcome.kind, outcome.result


def _since(started_s: float) -> int:
    return round((asyncio.get_running_loop().time() - started_s) * 1000)
