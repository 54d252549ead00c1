"""What a gateway needs outside dev mode: a bootstrap file, and leave to call webhooks on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OPEN_LOOPBACK = {"EVENTMILL_WEBHOOK_ALLOW_HTTP": "true", "EVENTMILL_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8"}
NO_LIMITS = {"EVENTMILL_PUBLISH_REQUESTS_PER_5S": "0", "EVENTMILL_REGISTRATIONS_PER_CLIENT": "0"}


def tenants(client_secret: str = "p8e-secret-of-the-first") -> dict[str, Any]:
    """Two workspaces with a credential each."""
    first = {"id": "4001", "name": "Stage", "client_id": "a" * 32, "client_secret": client_secret}
    second = {"id": "4002", "name": "Live", "client_id": "b" * 32, "client_secret": "p8e-secret-of-the-second"}
    workspaces = [
        {"id": "3001", "name": "Stage", "credentials": [first]},
        {"id": "3002", "name": "Production", "credentials": [second]},
    ]
    project = {"id": "2001", "name": "Shop", "workspaces": workspaces}
    ims_org_id = "0123456789ABCDEF01234567@AdobeOrg"
    return {"organizations": [{"id": "1001", "ims_org_id": ims_org_id, "name": "Acme", "projects": [project]}]}


def write_bootstrap(directory: Path, content: dict[str, Any] | None = None) -> Path:
    path = directory / "bootstrap.json"
    path.write_text(json.dumps(content or tenants()))
    return path
