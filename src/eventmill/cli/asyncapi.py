"""`eventmill asyncapi`: providers and their events as AsyncAPI documents, both ways."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, TextIO
from urllib.parse import quote, urlencode

import click

from eventmill.cli.places import find_org, find_workspace, org_option, project_option, workspace_option
from eventmill.cli.remote import Failed, Remote, remote_options
from eventmill.cli.table import json_option, print_json

_VALUES_MAX = 1_000_000


@click.group(short_help="AsyncAPI documents of providers, both ways")
def asyncapi() -> None:
    """AsyncAPI documents: export what is published, import what others describe."""


@asyncapi.command()
@org_option
@click.option("--provider", metavar="ID", help="Only this provider.  [default: all of the organization]")
@click.option("--version", type=click.Choice(["2.6.0", "3.0.0"]), default="2.6.0", show_default=True)
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("--out", type=click.File("w", encoding="utf-8"), default="-", help="File to write.  [default: stdout]")
@remote_options
def export(remote: Remote, org: str | None, provider: str | None, version: str, form: str, out: TextIO) -> None:
    """Write the AsyncAPI document of a provider, or of all providers of an organization."""
    where = f"providers/{quote(provider, safe='')}" if provider else find_org(remote, org)["id"]
    document = remote.call("GET", f"/events/{where}/asyncapi?version={version}")[1]
    if form == "json":
        out.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return
    from eventmill.cli.yaml_text import yaml_text

    out.write(yaml_text(document))


@asyncapi.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@org_option
@project_option
@workspace_option
@click.option("--provider", metavar="ID", help="Change this provider instead of making one.")
@click.option("--label", metavar="LABEL", help="Of the new provider.  [default: the document's title]")
@click.option("--prefix", metavar="PREFIX", help="Opens the event codes that the document does not tell.")
@click.option("--force", is_flag=True, help="Change schemas even if they would refuse what was accepted before.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be.")
@json_option
@remote_options
def import_(remote: Remote, file: TextIO, *, force: bool, dry_run: bool, as_json: bool, **options: str | None) -> None:
    """Make a provider, its event codes, schemas and samples from an AsyncAPI document (2.x or 3.0, YAML or JSON)."""
    where = (options.pop(name) for name in ("org", "project", "workspace"))
    parent, place = find_workspace(remote, *where)
    flags = {"force": force, "dry_run": dry_run}
    asked = {name: value for name, value in options.items() if value} | {name: "true" for name in flags if flags[name]}
    path = f"/events/{parent['org_id']}/{parent['id']}/{place['id']}/asyncapi?{urlencode(asked)}"
    result = remote.call("POST", path, read_file(file))[1]
    if as_json:
        print_json(result)
        return
    for warning in result["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    counts = f"event codes created: {len(result['created'])}, updated: {len(result['updated'])}"
    provider = " ".join(filter(None, (result["provider_label"], result["provider_id"])))
    click.echo(f"{'would be: ' if dry_run else ''}{provider}: {counts}")


def read_file(file: TextIO) -> Any:
    """YAML, of which JSON is a part; times stay texts. Raises `Failed`."""
    import yaml

    from eventmill.cli.yaml_text import PlainLoader, reading

    with reading(file.name):
        document = yaml.load(file, Loader=PlainLoader)  # noqa: S506 - a safe loader
    _check_values(document, file.name)
    return document


def _check_values(document: Any, name: str) -> None:
    """YAML has more than JSON: values of other kinds, and aliases, by which a few lines can stand for a world of values
    or hold themselves."""
    seen, waiting = 0, [document]
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > _VALUES_MAX:
            raise Failed(f"{name} has more than {_VALUES_MAX:,} values once its aliases are followed")
        if isinstance(value, dict):
            waiting += value.values()
            waiting += value.keys()
        elif isinstance(value, list):
            waiting += value
        elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not isfinite(value)):
            raise Failed(f"{name} has a value that JSON has not: {str(value)[:80]}")
