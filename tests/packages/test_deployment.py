"""The files under deploy/ are what their tools take, and name nothing that the gateway does not have."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from eventmill.config import Config
from eventmill.web.metrics import METRICS
from tests.e2e.gateway import Gateway, call
from tests.packages.tools import DEPLOY, ROOT, TOOLS, run, succeed

PROMTOOL = TOOLS / "prometheus/usr/bin/promtool"
CHART = DEPLOY / "helm/eventmill"
PAGE = (ROOT / "docs/deployment.md").read_text()
SECRETS = ("--set", "postgres.existingSecret=database", "--set", "sealKey.existingSecret=seal")
MANY = (
    *SECRETS,
    "--set",
    "nodes=3,ingress.enabled=true,bootstrap.existingSecret=tenants,baseUrl=https://events.example.com",
)


def rendered(*flags: str) -> str:
    return succeed(TOOLS / "bin/helm", "template", "gateway", CHART, *flags)


@pytest.mark.parametrize("flags", [(), MANY, (*MANY, "--set", "settings.EVENTMILL_JOURNAL_RETENTION_DAYS=3")])
def test_the_chart_renders_valid_manifests(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Helm finds no fault, and Kubernetes' own schemas take every resource, unknown members refused."""
    succeed(TOOLS / "bin/helm", "lint", "--strict", CHART, *flags)
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(rendered(*flags))

    succeed(TOOLS / "bin/kubernetes-validate", "--strict", manifests)


@pytest.mark.parametrize(("flags", "said"), [(("--set", "nodes=2"), "needs PostgreSQL"), (SECRETS[:2], "sealKey")])
def test_the_chart_refuses_what_cannot_run(flags: tuple[str, ...], said: str) -> None:
    """Nodes without a database, or with one and no common key, are refused with what is missing."""
    done = run(TOOLS / "bin/helm", "template", "gateway", CHART, *flags)

    assert done.returncode != 0
    assert said in done.stdout


def test_settings_in_deployment_files_exist() -> None:
    """Every EVENTMILL_ variable is a setting."""
    known = {f"EVENTMILL_{name.upper()}" for name in Config.__struct_fields__}
    text = "\n".join(path.read_text() for path in DEPLOY.rglob("*") if path.is_file()) + rendered(*MANY)
    named = set(re.findall(r"\bEVENTMILL_[A-Z_]+[A-Z]", text)) - {"EVENTMILL_BASE_URL"}

    assert named <= known | {name + "_FILE" for name in known}


def test_pods_are_confined() -> None:
    """Not root, a read-only root file system, no capabilities, and no variables that Kubernetes makes of services:
    EVENTMILL_PORT would be one of them."""
    [pod] = [
        each["spec"]["template"]["spec"] for each in yaml.safe_load_all(rendered(*MANY)) if each["kind"] == "Deployment"
    ]
    [container] = pod["containers"]

    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_chart_takes_the_flags_of_the_page() -> None:
    """`helm install` as the page shows it renders nodes that share the database, the key and the address."""
    [command] = re.findall(r"^helm install events deploy/helm/eventmill (.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found = [each for each in yaml.safe_load_all(rendered(*shlex.split(command.replace("\\\n", " ")))) if each]
    [nodes] = [each for each in found if each["kind"] == "Deployment"]
    env = {each["name"]: each for each in nodes["spec"]["template"]["spec"]["containers"][0]["env"]}

    assert nodes["spec"]["replicas"] == 3
    assert env["EVENTMILL_BASE_URL"]["value"] == "https://events.example.com"
    assert [env[f"EVENTMILL_{name}"]["valueFrom"]["secretKeyRef"] for name in ("STORE", "SEAL_KEY")] == [
        {"name": "database", "key": "url"},
        {"name": "seal", "key": "key"},
    ]
    assert "PodDisruptionBudget" in {each["kind"] for each in found}


def test_pods_are_given_time() -> None:
    """To end: what preStop takes and what the gateway takes, before they are killed. To start: minutes."""
    [pod] = [
        each["spec"]["template"]["spec"] for each in yaml.safe_load_all(rendered(*MANY)) if each["kind"] == "Deployment"
    ]
    [container] = pod["containers"]
    waits_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])

    assert pod["terminationGracePeriodSeconds"] >= waits_s + 15 + 5
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] >= 600
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_image_for_tests_is_described_well(tmp_path: Path) -> None:
    """hadolint finds no fault in the example of the page about CI."""
    [text] = re.findall(r"^```dockerfile\n(.*?)^```", (ROOT / "docs/ci.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "Dockerfile").write_text(text)
    # Which versions of eventmill and pytest, the reader says.
    succeed(TOOLS / "bin/hadolint", "--ignore=DL3013", tmp_path / "Dockerfile")


def test_the_image_is_described_well() -> None:
    """hadolint finds no fault in the Dockerfile, and what it copies is let through by .dockerignore."""
    dockerfile = DEPLOY / "docker/Dockerfile"
    succeed(TOOLS / "bin/hadolint", dockerfile)
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE)

    assert {name for names in copied for name in names.split()} == kept


def test_the_unit_is_understood(tmp_path: Path) -> None:
    """systemd finds no fault in its unit."""
    unit = tmp_path / "eventmill.service"
    text = (DEPLOY / "systemd/eventmill.service").read_text()
    unit.write_text(text.replace("/opt/eventmill/bin/eventmill", "/bin/true"))

    assert succeed("systemd-analyze", "verify", "--man=no", unit).strip() == ""
    assert "\nType=notify\n" in text
    assert "\nRestartPreventExitStatus=2 4\n" in text


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"\beventmill_[a-z_]+", text))


def test_alerts_are_rules_over_metrics_that_exist() -> None:
    """promtool takes the rules; every metric in them is one of the gateway's; every page that they name exists."""
    rules = DEPLOY / "prometheus/alerts.yaml"
    succeed(PROMTOOL, "check", "rules", rules)
    found = [rule for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]]

    assert metrics_in(rules.read_text()) <= {metric.name for metric in METRICS}
    assert all((ROOT / rule["annotations"]["runbook"]).exists() for rule in found)


def test_the_dashboard_asks_for_metrics_that_exist(tmp_path: Path) -> None:
    """Every expression names metrics of the gateway only, and Prometheus can parse it."""
    panels = json.loads((DEPLOY / "grafana/eventmill.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    plain = [each.replace("$__rate_interval", "5m").replace("$job", ".+") for each in asked]
    rules = tmp_path / "rules.yaml"
    recorded = [{"record": f"panel:number:{number}", "expr": each} for number, each in enumerate(plain)]
    rules.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert metrics_in("\n".join(asked)) <= {metric.name for metric in METRICS}
    succeed(PROMTOOL, "check", "rules", rules)


def test_prometheus_likes_the_metrics(tmp_path: Path) -> None:
    """promtool finds nothing to say against what a real gateway answers at /metrics."""
    gateway = Gateway(tmp_path / "data")
    try:
        answer = call("GET", f"{gateway.start().url}/metrics")
    finally:
        gateway.close()

    done = subprocess.run([PROMTOOL, "check", "metrics"], input=answer.body, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
