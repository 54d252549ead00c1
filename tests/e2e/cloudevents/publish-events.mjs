// Publishes one event in binary and in structured mode and two as a batch, with the unmodified CloudEvents SDK, then
// parses what the journal holds. Reads {url, headers, journal, event} from standard input; prints one JSON value.

import { readFileSync } from "node:fs";
import { CloudEvent, emitterFor, HTTP, Mode } from "cloudevents";

const { url, headers, journal, event } = JSON.parse(readFileSync(0, "utf8"));

async function post(message) {
  const answer = await fetch(url, { method: "POST", headers: { ...headers, ...message.headers }, body: message.body });
  return { status: answer.status, body: await answer.text() };
}

function named(id, changes = {}) {
  return new CloudEvent({ ...event, id, ...changes });
}

const binary = await emitterFor(post, { mode: Mode.BINARY })(named("js-binary"));
const bytes = new Uint8Array([0, 255, 7]);
const image = await emitterFor(post, { mode: Mode.BINARY })(
  named("js-image", { data: bytes, datacontenttype: "image/png" }),
);
const structured = await emitterFor(post, { mode: Mode.STRUCTURED })(named("js-structured"));
const batch = await post({
  headers: { "content-type": "application/cloudevents-batch+json" },
  body: JSON.stringify([named("js-batch-1"), named("js-batch-2")]),
});

const page = await (await fetch(journal, { headers })).json();
const parsed = page.events.map((entry) => {
  const message = { headers: { "content-type": "application/cloudevents+json" }, body: JSON.stringify(entry.event) };
  const found = HTTP.toEvent(message);
  found.validate();
  return found.toJSON();
});

console.log(JSON.stringify({ binary, image, structured, batch, parsed }));
