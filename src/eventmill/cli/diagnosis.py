"""Looks for what commonly goes wrong in a gateway's settings and surroundings. Reads only; needs no running gateway.

Each check gives findings; none raises. What a start would refuse is a finding too.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import msgspec

from eventmill.clock import SystemClock
from eventmill.config import MIB, Config, is_loopback
from eventmill.config_sources import unknown_variables
from eventmill.errors import StartupError
from eventmill.flow.keyring import sealer_of
from eventmill.model import Registration, SigningKey
from eventmill.send.netguard import DialGuard, is_named, read_named_hosts
from eventmill.store.open import check_rights, make_schema, read_clock_ahead_ms, read_documents

_ANSWER_S = 5.0
_SKEW_S = 5.0
_HOSTS_MAX = 100
_SHARE_FREE = 0.1


class Finding(msgspec.Struct, frozen=True):
    level: Literal["problem", "warning"]
    """A problem keeps something from working; a warning is what nobody would want if they knew."""
    about: str
    cause: str
    remedy: str


Check = Callable[[Config], Iterator[Finding]]


def diagnose(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """Problems first."""
    found = [
        Finding("warning", "settings", f"{name} is no setting", f"did you mean {nearest}?" if nearest else "remove it")
        for name, nearest in unknown_variables(environ).items()
    ]
    for check in _CHECKS:
        found += check(config)
    return sorted(found, key=lambda finding: finding.level != "problem")


def _check_openness(config: Config) -> Iterator[Finding]:
    if config.is_open_to_others:
        cause = f"whoever reaches {config.host}:{config.port} is the operator: tokens are not checked"
        yield Finding("problem", "tokens", cause, "--auth strict, or --host 127.0.0.1")
    if not config.dev and not config.notice_recipients and not config.smtp_host:
        cause = "nobody is told by mail when a webhook fails and is disabled"
        yield Finding("warning", "mail", cause, "set EVENTMILL_SMTP_HOST and EVENTMILL_MAIL_FROM (docs/notices.md)")


def _check_directory(config: Config) -> Iterator[Finding]:
    data = Path(config.data)
    key = data / "seal.key"
    if not data.exists():
        if not config.store:
            yield Finding("warning", "data directory", f"{data} is not there yet", "the first start makes it")
        return
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        cause = f"{data} cannot be read and written by this user"
        yield Finding("problem", "data directory", cause, "run as the gateway's user, or change its owner")
        return
    for path in (data, key):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            cause = f"{path} is open to other users of this machine"
            yield Finding("problem", "rights", cause, f"chmod {'700' if path == data else '600'} {path}")
    if not config.seal_key and not key.exists() and (config.store or (data / "state.db").exists()):
        cause = f"the key that opens the secrets is missing: {key}"
        yield Finding("problem", "sealing key", cause, "put it back from a backup, or set EVENTMILL_SEAL_KEY")


def _check_disk(config: Config) -> Iterator[Finding]:
    data = Path(config.data)
    if config.store or not data.exists():
        return
    disk = shutil.disk_usage(data)
    if disk.free < config.disk_reserve_bytes:
        cause = f"{disk.free // MIB} MiB are free, less than the reserve: publishing answers 503"
        yield Finding("problem", "disk", cause, "make room, or lower EVENTMILL_DISK_RESERVE_BYTES")
    elif disk.free < disk.total * _SHARE_FREE:
        cause = f"{disk.free // MIB} MiB of {disk.total // MIB} MiB are free"
        yield Finding("warning", "disk", cause, "make room, or use a larger disk")
    sizes = [path.stat().st_size for path in (data / "segments").glob("*.db")]
    wanted = max(sizes, default=0) * config.journal_retention_days
    if wanted > disk.free + sum(sizes):
        cause = (
            f"{config.journal_retention_days} days like the largest so far need {wanted // MIB} MiB, more than there is"
        )
        yield Finding("warning", "retention", cause, "use a larger disk, or lower EVENTMILL_JOURNAL_RETENTION_DAYS")


def _check_store(config: Config) -> Iterator[Finding]:
    if not config.store and not (Path(config.data) / "state.db").exists():
        return
    try:
        found = asyncio.run(make_schema(config).status())
        if found.schema:
            check_rights(config)
    except StartupError as error:
        yield _refused("store", error)
        return
    if any(step.kind == "pre" for step in found.pending):
        yield Finding("warning", "schema", "steps are pending", "eventmill migrate up, or start this version")
    elif found.pending:
        cause = "the last upgrade is not finished"
        yield Finding("warning", "schema", cause, "eventmill migrate up --post, once no earlier node runs")
    if len({node.version for node in found.nodes}) > 1:
        yield Finding("warning", "nodes", "nodes of different versions are at work", "finish the upgrade")


def _check_sealing(config: Config) -> Iterator[Finding]:
    """Whether this gateway's key is the one that opens what is stored."""
    if not config.seal_key and not (Path(config.data) / "seal.key").exists():
        return  # the directory was looked at already
    try:
        (docs,) = read_documents(config, "signing_key")
    except StartupError:
        docs = []  # the store was looked at already
    try:
        sealer_of([msgspec.json.decode(doc, type=SigningKey) for doc in docs], config)
    except StartupError as error:
        yield _refused("sealing key", error)


def _check_clock(config: Config) -> Iterator[Finding]:
    """Nodes that share a database share its time."""
    try:
        ahead_s = read_clock_ahead_ms(config, SystemClock()) / 1000
    except StartupError:
        return  # the store was looked at already
    if abs(ahead_s) > _SKEW_S:
        which = "ahead of" if ahead_s > 0 else "behind"
        cause = f"this machine's clock is {abs(ahead_s):.0f} s {which} the database's"
        remedy = "keep both in time, with NTP; with more than a minute no gateway starts here, and nothing expires"
        yield Finding("problem", "clock", cause, remedy)


def _check_base_url(config: Config) -> Iterator[Finding]:
    """Links lead there, so that it should answer, and from outside too."""
    parts = urlsplit(config.url)
    here = is_loopback(parts.hostname or "")
    if here and not is_loopback(config.host):
        cause = f"links in answers begin with {config.url}, which other machines cannot follow"
        yield Finding("problem", "base URL", cause, "set EVENTMILL_BASE_URL to what clients use")
    if not here and parts.scheme != "https":
        cause = f"{config.url} is not https: tokens and secrets travel in the open"
        yield Finding("warning", "base URL", cause, "put TLS before the gateway (docs/production.md)")
    try:
        # The proxy of the environment is no way to oneself.
        with build_opener(ProxyHandler({})).open(f"{config.url}/healthz", timeout=_ANSWER_S) as answer:
            date = answer.headers.get("date", "")
    except (OSError, HTTPException, ValueError) as error:
        cause = f"{config.url}/healthz does not answer: {getattr(error, 'reason', None) or error}"
        yield Finding("problem", "base URL", cause, "start the gateway, or mend EVENTMILL_BASE_URL, proxy or firewall")
        return
    if date:
        skew_s = abs(parsedate_to_datetime(date).timestamp() - SystemClock().machine_ms() / 1000)
        if skew_s > _SKEW_S:
            cause = f"the clock behind {config.url} and this machine's differ by {skew_s:.0f} s"
            yield Finding("problem", "clock", cause, "keep both in time, with NTP: signatures and tokens expire by it")


def _check_webhooks(config: Config) -> Iterator[Finding]:
    """Whether those that are registered may be dialled from here."""
    try:
        guard, named = DialGuard.of(config), read_named_hosts(config)
        (docs,) = read_documents(config, "registration")
    except StartupError:
        return  # the store was looked at already
    urls = [each.webhook_url for each in (msgspec.json.decode(doc, type=Registration) for doc in docs) if each.enabled]
    hosts = {urlsplit(url).hostname or "": url for url in urls if url}
    for host, url in sorted(hosts.items())[:_HOSTS_MAX]:
        if is_named(host, named):
            continue
        try:
            addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        except OSError as error:
            yield Finding("warning", "webhooks", f"{host} has no address here: {error}", f"mend the webhook {url}")
            continue
        refusals = [text for address in addresses if (text := guard.refusal(address))]
        if refusals:
            remedy = "allow it with EVENTMILL_WEBHOOK_ALLOW_HOSTS or _ALLOW_CIDRS (docs/webhooks.md)"
            yield Finding("problem", "webhooks", f"{host}: {refusals[0]}", remedy)


def _refused(about: str, error: StartupError) -> Finding:
    """What a start would say."""
    cause, _, remedy = str(error).partition("; ")
    return Finding("problem", about, cause, remedy or "see docs/upgrading.md")


_CHECKS: tuple[Check, ...] = (
    _check_openness,
    _check_directory,
    _check_disk,
    _check_store,
    _check_sealing,
    _check_clock,
    _check_base_url,
    _check_webhooks,
)
