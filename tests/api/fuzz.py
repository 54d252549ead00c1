"""Runs schemathesis against a gateway of its own: `python -m tests.api.fuzz [--seconds N] [--official FILE]`.

Valid and invalid requests to every operation; what comes back must be what the document says. Needs `make .make/fuzz`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from tests.api.documents import fit_document
from tests.api.things import FLAGS, VARIABLES, Things, make_things
from tests.e2e.gateway import Gateway

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".make/fuzz/bin"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,ignored_auth,missing_required_header,negative_data_rejection"
)
HOOKS = Path(__file__).with_name("hooks.py")


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as directory:
        gateway = Gateway(Path(directory) / "gateway", FLAGS, VARIABLES)
        try:
            gateway.start()
            things = make_things(gateway)
            document = fit_document(read_document(gateway), things)
            code = run(document, gateway, things, Path(directory), arguments)
            print(gateway.log_tail())
            return code
        finally:
            gateway.close()


def read_document(gateway: Gateway) -> Any:
    with urllib.request.urlopen(f"{gateway.url}/openapi.json") as answer:
        return json.load(answer)


def run(document: Any, gateway: Gateway, things: Things, directory: Path, arguments: argparse.Namespace) -> int:
    file = directory / "document.json"
    file.write_text(json.dumps(document))
    command = [
        str(TOOLS / "schemathesis"),
        "run",
        str(file),
        f"--url={gateway.url}",
        f"--checks={CHECKS}",
        f"--max-examples={arguments.examples}",
        f"--phases={arguments.phases}",
        f"--workers={arguments.workers}",
        "--continue-on-failure",
        "--warnings=off",
        "--no-color",
        "--output-sanitize=false",
        *(f"--header={name}: {value}" for name, value in things.headers.items()),
    ]
    if arguments.seed is not None:
        command.append(f"--seed={arguments.seed}")
    return subprocess.run(command, cwd=directory).returncode


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=20, help="requests per operation and kind")
    parser.add_argument("--phases", default="examples,coverage,fuzzing")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
