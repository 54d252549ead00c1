"""Amazon EventBridge on loopback: moto's server, and a service of our own.

Ours has the partner operations that moto lacks, refuses what it is told to, and checks every signature with botocore.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

from eventmill.testing import Received, answering, receiving, response

REGION, ACCOUNT = "eu-west-1", "123456789012"
KEY_ID, SECRET_KEY, SESSION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-1"
BUS: dict[str, Any] = {
    "delivery_type": "aws_eventbridge",
    "destination_metadata": {"aws_region": REGION, "aws_account_id": ACCOUNT},
    "webhook_url": ...,
}
AWS_SETTINGS: dict[str, Any] = {
    "aws_access_key_id": KEY_ID,
    "aws_secret_access_key": SECRET_KEY,
    "aws_session_token": SESSION,
}
_AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=(\S+?)/(\d{8})/(\S+?)/events/aws4_request, .*")


@contextmanager
def moto_server() -> Iterator[str]:
    """The URL of a moto server with nothing in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}/"
    finally:
        server.stop()


class Watcher:
    """A queue that a rule on the default bus fills: what an EventBridge customer sees."""

    def __init__(self, url: str, pattern: dict[str, Any]) -> None:
        def client(service: str) -> Any:
            keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET_KEY}
            return boto3.client(service, endpoint_url=url, region_name=REGION, **keys)

        self._queues, events = client("sqs"), client("events")
        self._queue = self._queues.create_queue(QueueName="watched")["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:watched"
        events.put_rule(Name="watch", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="watch", Targets=[{"Id": "queue", "Arn": arn}])

    def messages(self) -> list[dict[str, Any]]:
        """Those that came since the last call."""
        found: list[dict[str, Any]] = []
        while messages := self._queues.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                self._queues.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return found


@dataclass
class Service:
    """Answers the operations that the gateway uses. What may be changed is data."""

    url: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """Operation and parameters, of signed calls only."""
    requests: list[Received] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    """Those that were taken."""
    sources: dict[str, str] = field(default_factory=dict)
    """State of each partner event source."""
    entry_errors: list[str | None] = field(default_factory=list)
    """Error codes of the next entries, in order; afterwards every entry is taken."""
    refusal: str = ""
    """Error code that every call gets."""

    def of(self, operation: str) -> list[Any]:
        """The parameters of all calls of an operation."""
        return [parameters for name, parameters in self.calls if name == operation]

    def answer(self, request: Received) -> bytes:
        self.requests.append(request)
        if not is_signed(request, self.url):
            return _refused("InvalidSignatureException")
        operation = (request.header("x-amz-target") or "").removeprefix("AWSEvents.")
        parameters = json.loads(request.body)
        self.calls.append((operation, parameters))
        if self.refusal:
            return _refused(self.refusal)
        match operation:
            case "PutEvents" | "PutPartnerEvents":
                return _answered(self._take(parameters["Entries"]))
            case "CreatePartnerEventSource":
                if parameters["Name"] in self.sources:
                    return _refused("ResourceAlreadyExistsException")
                self.sources[parameters["Name"]] = "PENDING"
                return _answered({"EventSourceArn": "arn:aws:events:::event-source"})
            case "ListPartnerEventSourceAccounts":
                state = self.sources[parameters["EventSourceName"]]
                return _answered({"PartnerEventSourceAccounts": [{"Account": ACCOUNT, "State": state}]})
            case "DeletePartnerEventSource":
                self.sources.pop(parameters["Name"], None)
                return _answered({})
        return _refused("UnknownOperationException")

    def _take(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        results: list[dict[str, str]] = []
        for entry in entries:
            code = self.entry_errors.pop(0) if self.entry_errors else None
            if code is None:
                self.entries.append(entry)
            results.append({"EventId": "1"} if code is None else {"ErrorCode": code, "ErrorMessage": "refused"})
        return {"FailedEntryCount": sum("ErrorCode" in each for each in results), "Entries": results}


@asynccontextmanager
async def bus_service() -> AsyncIterator[Service]:
    service = Service()
    async with receiving(answering(service.answer)) as receiver:
        service.url = receiver.url.removesuffix("hook")
        yield service


def is_signed(request: Received, url: str) -> bool:
    """Whether botocore, with the same keys and at the same time, would have signed this request so."""
    given = request.header("authorization") or ""
    found = _AUTHORIZATION.fullmatch(given)
    date = request.header("x-amz-date")
    if found is None or date is None or request.header("x-amz-security-token") != SESSION:
        return False
    names = re.search(r"SignedHeaders=([^,]*)", given)
    assert names is not None
    signed = {name: request.header(name) or "" for name in names[1].split(";") if not name.startswith("x-amz-date")}
    signed.pop("host"), signed.pop("x-amz-security-token")
    again = AWSRequest("POST", url, headers=signed, data=request.body)
    then = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - as botocore wants it
    with patch("botocore.auth.get_current_datetime", return_value=then):
        SigV4Auth(Credentials(KEY_ID, SECRET_KEY, SESSION), "events", REGION).add_auth(again)
    return bool(again.headers["Authorization"] == given)


def _answered(document: Any) -> bytes:
    return response(json.dumps(document).encode(), headers="content-type: application/x-amz-json-1.1\r\n")


def _refused(code: str) -> bytes:
    body = json.dumps({"__type": code, "message": "refused"}).encode()
    return response(body, "400 Bad Request", "content-type: application/x-amz-json-1.1\r\n")
