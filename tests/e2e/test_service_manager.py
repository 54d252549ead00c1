"""What a gateway tells systemd, and the exit codes that its unit knows."""

from __future__ import annotations

import socket
from uuid import uuid4

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import READY_WITHIN_S, call

pytestmark = pytest.mark.on_files


def test_systemd_is_told_of_the_start_and_of_the_end(start_gateway: StartGateway) -> None:
    """READY=1 once it serves, STOPPING=1 when it is asked to end (sd_notify(3)); it may be deaf, too."""
    name = f"eventmill-{uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(READY_WITHIN_S)
        gateway = start_gateway("--dev", variables={"NOTIFY_SOCKET": f"@{name}"})
        assert manager.recv(100) == b"READY=1"
        assert call("GET", f"{gateway.url}/readyz").status == 200
        assert gateway.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"
    deaf = start_gateway("--dev", variables={"NOTIFY_SOCKET": "/nowhere/at/all"})
    assert deaf.stop() == 0
