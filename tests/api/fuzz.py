"""Runs schemathesis against a gateway of its own: `python -m tests.api.fuzz`.

Valid and invalid requests to every operation of the gateway's document, or of the official one; whatever comes back
must be what the document says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.api.documents import fit_document
from tests.api.official import read_official
from tests.api.things import FLAGS, VARIABLES, make_things
from tests.e2e.gateway import Gateway, call

SCHEMATHESIS = Path(__file__).parents[2] / ".make/fuzz/bin/schemathesis"
SETTINGS = Path(__file__).with_name("schemathesis.toml")
OFFICIAL = "EVENTMILL_OFFICIAL_SWAGGER"
"""Names the file of the official description, for whoever has it."""
OFFICIAL_CHECKS = ("not_a_server_error", "status_code_conformance", "response_schema_conformance")
_WITHIN_S = 3600


@dataclass(frozen=True)
class Effort:
    phases: str = "examples,coverage,fuzzing,stateful"
    examples: int = 50
    """Requests to each operation, of each kind."""
    checks: tuple[str, ...] = ()
    """None: those of the settings."""
    seed: int | None = None


def read_document(gateway: Gateway) -> Any:
    answer = call("GET", f"{gateway.url}/openapi.json")
    assert answer.status == 200, answer.body
    return answer.json()


def run_schemathesis(document: Any, url: str, headers: Mapping[str, str], report: IO[str], effort: Effort) -> int:
    """Its exit code: 0 when it found nothing. Its report goes to the file `report`."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "document.json"
        file.write_text(json.dumps(document))
        command = [
            *(str(SCHEMATHESIS), f"--config-file={SETTINGS}", "run", str(file), f"--url={url}"),
            *(f"--phases={effort.phases}", f"--max-examples={effort.examples}"),
            # Dev mode's own calls would move the clock, and wipe what the test has made.
            *("--exclude-tag=Development", "--continue-on-failure", "--workers=1"),
            *("--warnings=off", "--no-color", "--output-sanitize=false"),
            *(f"--header={name.title()}: {value}" for name, value in headers.items()),
            *((f"--checks={','.join(effort.checks)}",) if effort.checks else ()),
            *(() if effort.seed is None else (f"--seed={effort.seed}",)),
        ]
        done = subprocess.run(command, cwd=directory, stdout=report, stderr=subprocess.STDOUT, timeout=_WITHIN_S)
        return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--examples", type=int, default=Effort.examples, help="requests to each operation, of each kind"
    )
    parser.add_argument("--seed", type=int, help="repeat a run")
    arguments = parser.parse_args()
    official = os.environ.get(OFFICIAL)
    codes = [_run_one(None, Effort(examples=arguments.examples, seed=arguments.seed))]
    if official:
        effort = Effort(examples=arguments.examples, seed=arguments.seed, checks=OFFICIAL_CHECKS)
        codes.append(_run_one(Path(official), effort))
    else:
        sys.stdout.write(f"{OFFICIAL} names no file: not run against the official description\n")
    return max(codes)


def _run_one(official: Path | None, effort: Effort) -> int:
    with tempfile.TemporaryDirectory() as directory:
        gateway = Gateway(Path(directory) / "gateway", FLAGS, VARIABLES)
        try:
            gateway.start()
            things = make_things(gateway)
            if official is None:
                document = fit_document(read_document(gateway), things)
            else:
                document = read_official(official, things)
            code = run_schemathesis(document, gateway.url, things.headers, sys.stdout, effort)
            if code:
                sys.stdout.write(gateway.log_tail())
            return code
        finally:
            gateway.close()


if __name__ == "__main__":
    sys.exit(main())
