"""Every setting and limit, with its default and its unit in its name.

A flag beats the environment, the environment beats the default. The variable of a setting is `EVENTMILL_` plus its
field in capitals; lists are comma-separated, booleans `true` or `false`. `eventmill.config_sources` reads them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal

import msgspec

ENV_PREFIX = "EVENTMILL_"
KIB = 1024
MIB = 1024 * KIB

ROLES = ("front", "deliver")

ADOBE_HOSTS = (
    "api.adobe.io",
    "api-stage.adobe.io",
    "developers.adobe.io",
    "developers-stage.adobe.io",
    "developer.adobe.com",
    "developer-stage.adobe.com",
    "ims-na1.adobelogin.com",
    "ims-na1-stg1.adobelogin.com",
    "eventsingress.adobe.io",
    "eventsingress-stage.adobe.io",
    "events-va6.adobe.io",
    "events-stage-va6.adobe.io",
    "static.adobeioevents.com",
    "aio-login.adobeioruntime.net",
    "aio-login-stage.adobeioruntime.net",
)
"""Every host that an official client knows by heart."""

DENIED_PORTS = (
    *(22, 23, 25, 53, 110, 111, 135, 137, 138, 139, 143, 161, 179, 389, 445, 465, 512, 513, 514, 587, 636, 873),
    *(993, 995, 1433, 1521, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5900, 6379, 9042, 10250, 10255),
    *(11211, 27017),
)
"""Shells, mail, name, file and directory services, databases, and the control ports of containers and clusters."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Effective settings of one process. `docs/configuration.md` is generated from this class."""

    # Where it runs
    host: str = "127.0.0.1"
    port: int = 8080
    data: str = ".eventmill"
    """Data directory; one process at a time writes in it."""
    store: str = ""
    """`postgresql://user:password@host:port/database`, which any number of nodes may share; empty: files in `data`."""
    roles: tuple[str, ...] = ()
    """What this node does, of nodes that share a database: `front` (publishing, journals, management, console),
    `deliver`, or both; empty: both."""
    dev: bool = False
    """Emulator mode: one process, a ready-made tenant, loopback webhooks allowed, virtual clock."""
    auth: Literal["", "strict", "lenient"] = ""
    """`strict`: tokens are fully checked; `lenient`: any non-empty bearer passes. Empty: lenient in dev mode only."""
    bootstrap: str = ""
    """JSON file of organizations, projects, workspaces and credentials to create at start."""
    base_url: str = ""
    """Public base URL in all links; empty: `http://127.0.0.1:<port>`."""
    clock_rate: float = 1.0
    """Dev mode: business seconds per machine second."""
    seed: str = ""
    """Dev mode: file from `GET /_dev/snapshot` that an empty data directory begins with."""
    delivery_processes: int = 0
    """Delivery children of this node; 0: one per core but one, at least 1. Dev mode has none."""
    seal_key: str = ""
    """Base64 of 32 bytes that seal secrets; empty: `DATA/seal.key`, made at first start."""
    log_format: Literal["", "text", "json"] = ""
    """Empty: text on a terminal, else JSON."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # Built-in catalogue
    catalog: str = ""
    """File that replaces the built-in providers and events (see the catalogue guide); `off`: none."""
    catalog_delivery_format: Literal["adobe_io", "cloud_events_v1"] = "adobe_io"
    """How events of the catalogue are delivered: in the `adobe_io` envelope or as CloudEvents."""

    # Publishing
    publish_requests_per_5s: int = 3000
    """Per api key, on all nodes together; over it 429. 0: none."""
    event_bytes_max: int = 1 * MIB
    publish_batch_events_max: int = 1000
    """Events in one batch; over it 413."""
    publish_batch_bytes_max: int = 4 * MIB
    """Body of one batch; each of its events keeps to `event_bytes_max` as well."""
    stored_bytes_per_org: int = 0
    """Stored event bytes per organization; over it 429. 0: none. Several nodes may exceed it by what they publish
    within five seconds."""
    disk_reserve_bytes: int = 256 * MIB
    """Free disk below which publishing answers 503."""
    strict_events: bool = False
    """Refuse what CloudEvents 1.0 forbids but real publishers send (see the publishing guide)."""
    strict_catalog: bool = False
    """Answer 400, not 204 or 404, for a provider or event code nobody registered."""
    schema_steps_max: int = 10_000_000
    """What checking an event's data against their schema may take by an estimate made before: steps of some 10 ns.
    Beyond it they are not checked, and count as data that do not fit."""
    schema_memory_bytes_max: int = 256 * MIB
    """Compiled schemas in memory, by an estimate of 64 times their text; the least used are compiled again."""
    unmatched_kept: int = 1000
    """Events that nobody subscribed to are remembered for a day: so many per organization."""
    unmatched_kept_max: int = 100_000
    """The same, of all organizations together."""

    # Management API
    request_bytes_max: int = 1 * MIB
    """Also of what a JSON Patch makes."""
    patch_bytes_max: int = 256 * KIB
    patch_operations_max: int = 100
    asyncapi_bytes_max: int = 4 * MIB
    """Schemas and samples in one exported AsyncAPI document, and 512 bytes for each event code; over it 413."""
    schema_versions_kept: int = 20
    """Of each event code; the oldest go."""
    schema_trial_events: int = 200
    """Newest events of the code that a changed schema is tried on; 0: only the sample event."""
    registrations_per_org: int = 2500
    registrations_per_client: int = 30
    projects_per_org: int = 1000
    workspaces_per_project: int = 100
    credentials_per_workspace: int = 10
    secrets_per_credential: int = 2
    """All that are valid at a time: a rotation needs two."""
    filter_backtest_events: int = 1000
    """Newest events that a filter is tried on."""
    strict_challenge: bool = False
    """A failed challenge at creation answers 400 instead of a registration that is `verification_failed`, and the
    answer to a challenge must be `text/plain` or `application/json`."""
    validation_window_s: int = 300
    """How long the link of an asynchronous validation is good, in business time without its rate."""

    # Tokens
    token_lifetime_s: int = 86399
    refresh_token_lifetime_s: int = 1_209_600
    token_key_rotation_days: int = 90
    """A new key signs the tokens after so many days; 0: only when asked to."""
    oidc_issuer: str = ""
    """URL of an OpenID Connect issuer whose access tokens are good here too, exactly as in their `iss`; empty: none."""
    oidc_audience: str = ""
    """What the issuer's tokens must have in `aud`."""
    oidc_org_claim: str = "org"
    """Claim that names the organization, by its IMS organization id or its consumer organization id."""
    oidc_scope_claim: str = "scope"
    """Claim that lists the scopes: text separated by blanks or commas, or a list."""
    oidc_required_scope: str = "adobeio_api"
    """Scope that the issuer's tokens must have; `none`: any token will do."""
    oidc_jwks_url: str = ""
    """Where the issuer's keys are; empty: as its `/.well-known/openid-configuration` says."""

    # Console
    session_idle_s: int = 28_800
    """A person who does nothing in the console for so long has to sign in again."""
    session_lifetime_s: int = 604_800
    """In any case after so long."""
    sign_in_failures_max: int = 5
    """Failed sign-ins of one name, or from one address, before each further one has to wait, longer every time."""
    sign_in_delay_s_max: int = 900
    """The longest such wait."""
    console_oidc_client_id: str = ""
    """Client by which people sign in to the console at `oidc_issuer`; empty: with their passwords only."""
    console_oidc_client_secret: str = ""
    """Empty: a public client, with PKCE alone."""
    console_oidc_client_secret_file: str = ""
    """File that holds `console_oidc_client_secret`."""
    console_oidc_scope: str = "openid profile email"
    """What is asked of the issuer; separated by blanks."""
    console_oidc_role_claim: str = "groups"
    """Claim of the id token that says what a person may do: text, or a list."""
    console_oidc_roles: tuple[str, ...] = ()
    """`<value of the claim>=<role>` with the roles admin, developer, viewer; the highest counts, and a person without
    any may not sign in."""

    # Journal
    journal_retention_days: int = 7
    journal_page_events: int = 100
    """Events per page when the request gives no `limit`."""
    journal_page_events_max: int = 1000
    journal_page_bytes_max: int = 1_572_864
    journal_retry_after_s: int = 10
    journal_count_max: int = 100_000
    journal_wait_s_max: int = 30
    """How long `Prefer: wait=N` may make a read wait for the next event; 0: not at all."""
    journal_tail_s_max: int = 900
    """A live tail ends after this long, and its reader goes on where it ended; 0: there are none."""
    journal_heartbeat_s: float = 15.0
    """A live tail without events says this often that it still is there."""
    journal_waiters_max: int = 1000
    """Reads that wait and live tails at once, on one node."""
    journal_waiters_per_registration: int = 20
    cursors_per_registration: int = 20
    """Named cursors that the gateway keeps."""
    cursor_lease_s_max: int = 3600
    """Longest lease of a cursor."""

    # Delivery
    webhook_timeout_s: float = 10.0
    """Whole attempt: name lookup, connect, TLS, request, response."""
    webhook_allow_http: bool = False
    webhook_allow_private: bool = False
    """Webhooks may be in private networks: RFC 1918, carrier-grade NAT, unique local."""
    webhook_allow_hosts: tuple[str, ...] = ()
    """Hosts whose webhooks may be in private networks: names, or `.corp.example` for every name below it."""
    webhook_allow_cidrs: tuple[str, ...] = ()
    """Networks that webhooks may reach although private; or loopback, link-local and the like, if within that range."""
    webhook_deny_ports: tuple[int, ...] = DENIED_PORTS
    """Ports that no webhook may have, such as those of mail servers and databases; `0`: none."""
    nat64_prefixes: tuple[str, ...] = ()
    """The network's own NAT64 prefixes (RFC 6052), beside `64:ff9b::/96`: addresses there reach IPv4 ones."""
    egress_proxy: str = ""
    """`http://[user:password@]host:port` of the proxy that webhooks are reached through, by CONNECT; empty: none.
    Variables such as `HTTPS_PROXY` count for nothing."""
    client_cert: str = ""
    """PEM file of the certificate chain that webhooks get which ask for one (mTLS); read again when it changes."""
    client_key: str = ""
    """PEM file of its key; empty: the key is in `client_cert`."""
    replay_window_events: int = 500
    """Events that one replay hands out ahead of their first attempt; ten times as many may wait for a retry before it
    hands out no more."""
    replays_kept: int = 100
    """Replays listed per registration; finished ones go after `journal_retention_days` in any case."""
    webhook_batch_events_max: int = 20
    webhook_batch_bytes_max: int = 2 * MIB
    webhook_batch_flush_ms: int = 1000
    webhook_response_bytes_max: int = 1 * MIB
    webhook_idle_connections_max: int = 256
    """Connections kept open between deliveries, per process; each is a file descriptor."""
    legacy_fields: bool = True
    """Send `event_id` and `recipient_client_id` beside the new spellings; both official SDKs verify only these."""
    in_flight_max: int = 512
    """Attempts under way at once, per delivery process."""
    lane_in_flight_max: int = 16
    """Attempts under way at once, per registration; less while an endpoint times out or comes back."""
    in_flight_bytes_max: int = 64 * MIB
    """Event bodies in memory, per delivery process. From there on only registrations with no attempt under way go on,
    from twice as much on nothing but one attempt."""
    lane_pending_max: int = 512
    """Positions a lane holds in memory ahead of its attempts; the rest waits in the journal."""
    lane_reorder_max: int = 4096
    """Settled positions above a lane's mark; beyond it the lane waits for its oldest attempt."""
    checkpoint_interval_ms: int = 100
    lease_ttl_s: float = 15.0
    """On PostgreSQL: so long after a node was last heard of, others deliver what it would have. It stops by itself when
    two thirds are over without an answer of the database. The same on all nodes."""
    trace_body_bytes_max: int = 64 * KIB
    traces_kept: int = 100
    """Per registration, of successes and of errors each."""
    cancel_retries_on_delete: bool = False
    retry_after_max_s: int = 0
    """How long a `Retry-After` of a 429 or 503 may put a retry off, inside its 24 hours; at most 900. 0: not at all."""
    retry_jitter_share: float = 0.0
    """Retries come later at random, by up to this share (0 to 1) of the time to the next one in the schedule."""

    # Health of webhooks
    state_rules: Literal["v3", "v1"] = "v3"
    """When a registration becomes unstable and is disabled: by the current rules, or those of 2024 to 2026."""
    early_recovery: Literal["next_success", "window", "off"] = "next_success"
    """What makes an unstable registration `verified` before its 24 hours are over; of `v3` only (see the guide)."""

    # Mails about webhooks
    smtp_host: str = ""
    """Mail server that notices are sent through; empty: nobody is mailed, and dev mode has them at `/_dev/mailbox`."""
    smtp_port: int = 587
    smtp_tls: Literal["starttls", "tls", "off"] = "starttls"
    """`starttls` is demanded, `tls` is from the first byte on (port 465), `off` is for a server on the same machine."""
    smtp_ca: str = ""
    """PEM file of the only certificate authorities that the mail server's certificate may stem from; empty: the
    system's."""
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_password_file: str = ""
    """File that holds `smtp_password`."""
    smtp_timeout_s: float = 30.0
    """One mail, connecting included."""
    mail_from: str = ""
    """Address that mails come from; with `smtp_host` there must be one."""
    notice_recipients: tuple[str, ...] = ()
    """Addresses that notices of organizations without recipients of their own go to."""
    notice_days: int = 5
    """How long a notice is tried to be sent, or kept while nobody is to be mailed."""
    notices_per_org: int = 1000
    """Kept at a time; beyond it the oldest go."""
    console_url: str = ""
    """Base of the links in mails; empty: the base URL of all links."""

    # Runtime actions and event buses
    runtime_apihost: str = ""
    """URL of the Apache OpenWhisk host, such as `https://adobeioruntime.net`, whose actions registrations name."""
    runtime_namespace: str = "_"
    """Namespace of the actions; `_`: that of `runtime_auth`."""
    runtime_auth: str = ""
    """`<user>:<key>` for the OpenWhisk host."""
    runtime_auth_file: str = ""
    """File that holds `runtime_auth`."""
    runtime_timeout_s: float = 60.0
    """Whole attempt, as of a webhook."""
    runtime_actions: tuple[str, ...] = ()
    """`<package>/<action>=<target>`, in place of the OpenWhisk host: a URL, or in dev mode a JavaScript or Python file,
    which is run here."""
    eventbridge_mode: Literal["", "custom", "partner"] = ""
    """Where `aws_eventbridge` registrations deliver: to a custom bus, or to a partner event source, which only partners
    of AWS may create. Empty: nowhere; their journal fills."""
    eventbridge_bus: str = "default"
    """Custom mode: name of the bus in the account and region of each registration, or the ARN of one bus for all."""
    eventbridge_source: str = "developer.adobe.com"
    """Part of the source of events, `partner/<this>/<registration id>`; in partner mode the partner's own name."""
    eventbridge_endpoint: str = ""
    """URL in place of `https://events.<region>.amazonaws.com/`."""
    eventbridge_timeout_s: float = 10.0
    """Whole call, as of a webhook."""
    aws_access_key_id: str = ""
    """Empty: the environment's AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."""
    aws_secret_access_key: str = ""
    aws_secret_access_key_file: str = ""
    """File that holds `aws_secret_access_key`."""
    aws_session_token: str = ""

    # Official clients and TLS
    adobe_hosts: tuple[str, ...] = ADOBE_HOSTS
    """Host names that `eventmill proxy` answers for, and that the local certificate authority may sign."""
    tls_port: int = 0
    """Further port of the gateway, for HTTPS; 0: none."""
    tls_cert: str = ""
    """PEM file of the HTTPS port's certificate chain; empty: one of the local certificate authority in `DATA/ca`."""
    tls_key: str = ""
    """PEM file of its key; empty: the key is in `tls_cert`."""

    # Metrics
    metrics_token: str = ""
    """What `GET /metrics` wants as bearer token; empty: nothing, as of `/readyz`."""
    metrics_token_file: str = ""
    """File that holds `metrics_token`."""
    metrics_registrations_max: int = 1000
    """Registrations that the metrics tell of one by one: those with the oldest undelivered events."""

    # Shutting down
    drain_timeout_s: float = 12.0
    """After SIGTERM, attempts in flight may take this long; then the process goes."""

    @property
    def url(self) -> str:
        return self.base_url.rstrip("/") or f"http://127.0.0.1:{self.port}"

    @property
    def lenient(self) -> bool:
        return self.auth == "lenient" or (self.auth == "" and self.dev)

    @property
    def captures_mail(self) -> bool:
        """Whether mails are shown at `/_dev/mailbox` instead of sent."""
        return self.dev and not self.smtp_host

    @property
    def is_open_to_others(self) -> bool:
        """Whether other machines can call, and unchecked: then each of them is the operator."""
        return self.lenient and not is_loopback(self.host)

    @property
    def mapped_actions(self) -> Mapping[str, str]:
        """The target of each `<package>/<action>` that has one."""
        return dict(entry.split("=", 1) for entry in self.runtime_actions)

    @property
    def is_front(self) -> bool:
        return not self.roles or "front" in self.roles

    @property
    def delivers(self) -> bool:
        return not self.roles or "deliver" in self.roles

    @property
    def delivery_children(self) -> int:
        """Delivery processes to start beside this one. None in dev mode, where the front itself delivers."""
        if self.dev or not self.delivers:
            return 0
        return self.delivery_processes or max(1, (os.cpu_count() or 1) - 1)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address. Of names only `localhost` is known to be one."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
