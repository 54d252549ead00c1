"""Every block of the documents that somebody would type is run by a test, or stands here with the reason why not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from eventmill.config_sources import load_config
from tests.e2e.test_guides import GUIDES
from tests.e2e.test_pages import FRAGMENTS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md"])
SHOWN = {"text", "http", "json"}
"""Languages of what is shown, not typed."""
RUN_ELSEWHERE = {
    ("README.md", ""): "tests/e2e/test_demo.py; a picture; `make` targets",
    ("docs/ci.md", "yaml"): "tests/client/test_pages.py",
    ("docs/ci.md", "dockerfile"): "tests/packages/test_deployment.py, by hadolint",
    ("docs/declarative.md", "yaml"): "tests/unit/test_declared_file.py",
    ("docs/index.md", ""): "tests/packages/test_wheel.py; a picture",
    ("docs/production.md", ""): "tests/e2e/test_pages.py; settings, below",
    ("docs/postgresql.md", "sql"): "tests/patroni/test_patroni.py, by `make patroni`",
    ("docs/postgresql.md", "yaml"): "tests/patroni/test_patroni.py",
    ("docs/python-sdk.md", "python"): "tests/client/test_pages.py",
    ("docs/testing.md", "python"): "tests/client/test_pages.py and test_recording.py, tests/http/test_testing_kit.py",
    ("docs/testing.md", "ini"): "tests/client/test_pages.py",
    ("docs/metrics.md", ""): "tests/packages/test_deployment.py, by promtool",
    ("docs/notices.md", ""): "settings, below",
    (
        "docs/official-clients.md",
        "sh",
    ): "tests/e2e/test_aio_cli.py, test_tokens.py, test_java_sdk.py with their own words",
    ("docs/official-clients.md", "js"): "tests/e2e/test_official_clients.py",
    ("docs/observability.md", ""): "tests/e2e/test_spans_export.py with a collector of its own",
}
NOT_RUN = {
    ("docs/catalog.md", ""): "a picture of what is where",
    ("docs/console.md", ""): "asks for a password at a terminal; tests/e2e has the command with flags",
    (
        "docs/deployment.md",
        "",
    ): "needs Docker, Kubernetes, or root; the chart is rendered with these flags by tests/packages",
    ("docs/destinations.md", "sh"): "the command of docs/app-builder.md, which is run, with one action more",
    ("docs/metrics.md", "yaml"): "Prometheus' own file",
    ("docs/postgresql.md", "sh"): "names three hosts",
    ("docs/production.md", "sh"): "binds every address; tests/e2e/test_nodes.py starts nodes with these variables",
    ("docs/tenancy.md", ""): "a picture of what belongs to what",
}


def typed(path: Path) -> Counter[str]:
    """How many blocks there are of each language that somebody types."""
    found = re.findall(r"^```(\w*)\n.*?^```", path.read_text(), re.MULTILINE | re.DOTALL)
    return Counter(language for language in found if language not in SHOWN)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def on_a_gateway() -> set[str]:
    """The pages whose shell blocks are run one after the other on a fresh gateway."""
    return set(re.findall(r"\"((?:docs/)?[\w-]+\.md)\"", (ROOT / "tests/e2e/test_readme.py").read_text()))


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in PAGES])
def test_every_block_is_run(path: Path) -> None:
    """By language: shell blocks with the page, or what the lists say."""
    name = name_of(path)
    shell_is_run = name in on_a_gateway() | FRAGMENTS.keys() | set(GUIDES)
    unknown = [
        language
        for language in typed(path)
        if not (language == "sh" and shell_is_run) and (name, language) not in RUN_ELSEWHERE | NOT_RUN
    ]
    assert not unknown, f"nothing runs the blocks {unknown} of {name}: run them, or say here why not"


def test_the_lists_name_what_there_is() -> None:
    """No block that is gone, no file that is gone, nothing that is run after all."""
    there = {(name_of(path), language) for path in PAGES for language in typed(path)}
    assert RUN_ELSEWHERE.keys() | NOT_RUN.keys() <= there
    assert {page for page, language in NOT_RUN if language == "sh"}.isdisjoint(on_a_gateway() | FRAGMENTS.keys())
    for page, told in FRAGMENTS.items():
        assert max([*told.before, *told.left_out, 0]) < typed(ROOT / page)["sh"], page
    for reason in RUN_ELSEWHERE.values():
        folder = ""
        for word in re.findall(r"(?:tests/\w+/)?test_\w+\.py", reason):
            folder = word.rpartition("/")[0] or folder
            assert (ROOT / folder / word.rpartition("/")[2]).exists(), word


def settings(lines: Iterable[str]) -> dict[str, str]:
    found = [re.fullmatch(r"(EVENTMILL_\w+)=(\S+)(?:\s+#.*)?", line) for line in lines if line.strip()]
    return {match[1]: match[2] for match in found if match} if all(found) else {}


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in PAGES])
def test_blocks_of_settings_are_taken(path: Path, tmp_path: Path) -> None:
    """Those that consist of nothing else, all of a page together."""
    named: dict[str, str] = {}
    for block in re.findall(r"^```(?:sh)?\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        named |= settings(block.splitlines())
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    load_config({}, {name: str(secret) if name.endswith("_FILE") else value for name, value in named.items()})
