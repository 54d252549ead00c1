"""The official `aio` command line, unchanged, as a process whose calls to Adobe's hosts end at a gateway here."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.gateway import Gateway, free_port

AIO = Path(__file__).parent.parent / "aio"
COMMAND_ENDS_WITHIN_S = 60
TEXT = ""
JSON = "--json"
YAML = "--yml"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What moves the cursor while questions are asked."""
_JSON = re.compile(r"^[\[{].*", re.DOTALL | re.MULTILINE)


@contextmanager
def proxy(gateway: Gateway) -> Iterator[int]:
    """`eventmill proxy` beside the gateway; its port."""
    port = free_port()
    command = [sys.executable, "-m", "eventmill", "proxy", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--gateway-port", str(gateway.port), "--data", str(gateway.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert any(b"eventmill env --aio" in line for line in process.stdout), "the proxy ended at its start"
            yield port
        finally:
            process.terminate()


class Aio:
    """Runs commands in a home of their own, and notes in which formats each of them worked."""

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self._home = home
        self._variables = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home), **variables}
        self.formats: dict[str, list[str]] = {}

    async def run(
        self, command: str, *arguments: str, form: str = TEXT, answers: Sequence[tuple[str, str]] = ()
    ) -> str:
        """What the command prints; it must succeed. `answers`: to its questions, each with words of the question."""
        code, told, complaints = await self._finish(command, [*arguments, *([form] if form else [])], answers)
        assert code == 0, f"aio {command}: {complaints}{told}"
        shown = f"`{form}`" if form else "text"
        self.formats.setdefault(command, [])
        self.formats[command] += [shown] if shown not in self.formats[command] else []
        return told

    async def json(self, command: str, *arguments: str, answers: Sequence[tuple[str, str]] = ()) -> Any:
        """What the command prints with `--json`, after its questions."""
        told = _CONTROL.sub("", await self.run(command, *arguments, form=JSON, answers=answers))
        found = _JSON.search(told)
        assert found is not None, told
        return json.loads(found[0])

    async def refused(self, command: str, *arguments: str) -> str:
        """What a command that must fail complains of, without its line breaks."""
        code, told, complaints = await self._finish(command, arguments, ())
        assert code != 0, told
        return " ".join(complaints.split())

    def rows(self) -> list[tuple[str, str]]:
        """For the page: each command, in which formats it worked."""
        return [(f"`aio {command}`", ", ".join(formats)) for command, formats in self.formats.items()]

    async def start(self, command: str, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(AIO / "node_modules" / ".bin" / "aio"),
            *command.split(),
            *arguments,
            cwd=self._home,
            env=self._variables,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def _finish(
        self, command: str, arguments: Sequence[str], answers: Sequence[tuple[str, str]]
    ) -> tuple[int, str, str]:
        process = await self.start(command, *arguments)
        assert process.stdin is not None and process.stdout is not None
        asked = b""
        async with asyncio.timeout(COMMAND_ENDS_WITHIN_S):
            for question, answer in answers:
                asked += await process.stdout.readuntil(question.encode())
                process.stdin.write(answer.encode() + b"\r")
            told, complaints = await process.communicate()
        assert process.returncode is not None
        return process.returncode, (asked + told).decode(), complaints.decode()
