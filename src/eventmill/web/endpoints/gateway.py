"""What the gateway says of itself: health, public keys, descriptions; and its clock in dev mode."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from eventmill.errors import Reason
from eventmill.web import asyncapi, dev, dev_faults, health, keys, metrics, state_store
from eventmill.web.endpoint import (
    NO_CONTENT,
    TEXT,
    Answer,
    Endpoint,
    Group,
    Operation,
    Parameter,
    RequestBody,
    json_answer,
)
from eventmill.web.endpoints.parameters import KNOWN_TAG, NOT_MODIFIED
from eventmill.web.http import JSON_TYPE
from eventmill.web.shapes import ClockBody, Health, Index, NotReady, Ready

PEM = "application/x-pem-file"
BYTES = "application/octet-stream"

_Version = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["2.6.0", "3.0.0"]})]
_VERSION = Parameter("version", _Version, "Of AsyncAPI; 2.6.0 unless given.")

GATEWAY = Group(
    tag="Gateway",
    about="The gateway itself.",
    for_anyone=(
        Endpoint("GET", "/", health.get_index, Operation("getIndex", "Read what this is", (json_answer(Index),))),
        Endpoint(
            "GET",
            "/healthz",
            health.get_health,
            Operation("getHealth", "Ask whether it answers", (json_answer(Health),)),
        ),
        Endpoint(
            "GET",
            "/readyz",
            health.get_readiness,
            Operation(
                "getReadiness",
                "Ask whether it takes events",
                (json_answer(Ready), Answer(503, NotReady, JSON_TYPE, about="`store_unavailable`")),
            ),
        ),
        Endpoint(
            "GET",
            "/metrics",
            metrics.get_metrics,
            Operation(
                "getMetrics",
                "Read what it counts, for Prometheus",
                (Answer(200, str, TEXT),),
                refusals=(Reason.MISSING_TOKEN, Reason.INVALID_TOKEN),
                is_open_by_setting=True,
                about="An addition of Eventmill. Needs a token only if `EVENTMILL_METRICS_TOKEN` is set.",
            ),
        ),
        Endpoint(
            "GET",
            "/prod/keys/{file}",
            keys.get_public_key,
            Operation("getPublicKey", "Read a public key that deliveries are verified with", (Answer(200, str, PEM),)),
        ),
        Endpoint(
            "GET",
            "/prod/client-certificate.pem",
            keys.get_client_certificate,
            Operation(
                "getClientCertificate",
                "Read the certificate chain that webhooks get which ask for one",
                (Answer(200, str, PEM),),
                refusals=(Reason.NOT_FOUND,),
            ),
        ),
        Endpoint(
            "GET",
            "/containers/{namespace}/data/{key}",
            state_store.get_value,
            Operation(
                "getCachedKey",
                "Read the same key, as the JavaScript SDK's key cache",
                (Answer(200, bytes, BYTES, ("x-key-expires-ms",)),),
            ),
        ),
        Endpoint(
            "PUT",
            "/containers/{namespace}/data/{key}",
            state_store.put_value,
            Operation(
                "putCachedKey",
                "Offer a key to that cache",
                (Answer(200, str, TEXT),),
                bodies=(RequestBody(bytes, (BYTES,), required=False),),
                refusals=(Reason.NOT_PERMITTED, Reason.TOO_LARGE),
                about="Stores nothing; taken when it is the gateway's own key of that name.",
            ),
        ),
        Endpoint(
            "GET",
            "/asyncapi/catalog.json",
            asyncapi.get_json,
            Operation(
                "getCatalog",
                "Read the AsyncAPI document of the built-in events",
                (json_answer(dict[str, Any], 200, "ETag"), NOT_MODIFIED),
                (_VERSION, KNOWN_TAG),
                refusals=(Reason.NOT_FOUND,),
            ),
        ),
        Endpoint(
            "GET",
            "/asyncapi/catalog.yaml",
            asyncapi.get_yaml,
            Operation(
                "getCatalogYaml",
                "Read the AsyncAPI document of the built-in events as YAML",
                (Answer(200, dict[str, Any], asyncapi.YAML_TYPE, ("ETag",)), NOT_MODIFIED),
                (_VERSION, KNOWN_TAG),
                refusals=(Reason.NOT_FOUND,),
            ),
        ),
    ),
)

DEV = Group(
    tag="Development",
    about="Dev mode's clock, mailbox, faults and fresh start, for this machine only.",
    is_dev_only=True,
    for_anyone=(
        Endpoint(
            "GET",
            "/_dev/clock",
            dev.get_clock,
            Operation("getClock", "Read the clock", (json_answer(ClockBody),), refusals=(Reason.LOOPBACK_ONLY,)),
        ),
        Endpoint(
            "POST",
            "/_dev/clock",
            dev.post_clock,
            Operation(
                "setClock",
                "Move business time forward, or set its pace",
                (json_answer(ClockBody),),
                bodies=(RequestBody(dev.ClockForm, example={"advance_seconds": 3600}),),
                refusals=(Reason.CLOCK_BACKWARDS, Reason.LOOPBACK_ONLY, Reason.STORE_UNAVAILABLE),
                about="Answers when every delivery attempt that fell due on the way has ended.",
            ),
        ),
        Endpoint(
            "GET",
            "/_dev/mailbox",
            dev.list_mails,
            Operation(
                "getMails",
                "List the mails that would have been sent, newest first",
                (json_answer(list[dev.MailItem]),),
                refusals=(Reason.LOOPBACK_ONLY,),
            ),
        ),
        Endpoint(
            "GET",
            "/_dev/mailbox/{mail}",
            dev.get_mail,
            Operation(
                "getMail",
                "Read one of them",
                (Answer(200, str, TEXT), Answer(200, str, "text/html"), Answer(200, bytes, "message/rfc822")),
                refusals=(Reason.LOOPBACK_ONLY, Reason.NOT_FOUND),
                about="As `Accept` says; as text otherwise.",
            ),
        ),
        Endpoint(
            "DELETE",
            "/_dev/mailbox",
            dev.empty_mailbox,
            Operation("emptyMailbox", "Empty the mailbox", (NO_CONTENT,), refusals=(Reason.LOOPBACK_ONLY,)),
        ),
        Endpoint(
            "GET",
            "/_dev/faults",
            dev_faults.list_faults,
            Operation(
                "getFaults",
                "List what deliveries are to suffer",
                (json_answer(list[dev_faults.FaultBody]),),
                refusals=(Reason.LOOPBACK_ONLY,),
            ),
        ),
        Endpoint(
            "POST",
            "/_dev/faults",
            dev_faults.add_fault,
            Operation(
                "addFault",
                "Have the next deliveries to a registration suffer a fault",
                (json_answer(dev_faults.FaultBody, 201),),
                bodies=(
                    RequestBody(
                        dev_faults.FaultForm,
                        example={
                            "registration_id": "b3b5dcc0-4c4c-4e5e-a1d5-0a6f7f0a5c11",
                            "kind": "status",
                            "times": 3,
                            "status": 503,
                        },
                    ),
                ),
                refusals=(Reason.LOOPBACK_ONLY, Reason.NOT_FOUND),
                about="`status`: this answer, and the webhook sees nothing. `latency`: the attempt begins later, by "
                "machine time. `drop`: taken for delivered, but never sent. `duplicate`: sent twice. `reorder`: sent "
                "after the next one. Challenges are spared; a restart or reset clears all.",
            ),
        ),
        Endpoint(
            "DELETE",
            "/_dev/faults",
            dev_faults.clear_faults,
            Operation(
                "clearFaults",
                "Clear the faults",
                (NO_CONTENT,),
                (Parameter("registration", str, "The `registration_id` of one; without it, of all."),),
                refusals=(Reason.LOOPBACK_ONLY,),
            ),
        ),
        Endpoint(
            "GET",
            "/_dev/snapshot",
            dev.get_snapshot,
            Operation(
                "getSnapshot",
                "Read everything as one file",
                (Answer(200, bytes, dev.GZIP, ("Cache-Control",)),),
                refusals=(Reason.LOOPBACK_ONLY, Reason.NOT_FOUND, Reason.TOO_LARGE),
                about="`eventmill serve --dev --seed FILE` begins an empty data directory with it. It holds secrets.",
            ),
        ),
        Endpoint(
            "POST",
            "/_dev/restore",
            dev.post_restore,
            Operation(
                "restoreSnapshot",
                "Put such a file in place of everything",
                (NO_CONTENT,),
                bodies=(RequestBody(bytes, (dev.GZIP, BYTES)),),
                refusals=(Reason.INVALID_BODY, Reason.LOOPBACK_ONLY, Reason.NOT_FOUND, Reason.TOO_LARGE),
                about="The gateway then begins anew; `/readyz` tells when it is there again.",
            ),
        ),
        Endpoint(
            "POST",
            "/_dev/reset",
            dev.post_reset,
            Operation(
                "reset",
                "Start afresh",
                (NO_CONTENT,),
                refusals=(Reason.LOOPBACK_ONLY, Reason.STORE_UNAVAILABLE),
                about="Journals, registrations, providers, retries and traces are gone; tenants stay.",
            ),
        ),
    ),
)
