/*
 * Parses delivered requests with the official CloudEvents SDK: a JSON array of {headers, body} on standard input, the
 * events on standard output. Fails on the first that the SDK refuses; with the argument `strict` it holds the events to
 * the letter of the standard, too.
 */
import { readFileSync } from 'node:fs'
import { HTTP } from 'cloudevents'

const events = JSON.parse(readFileSync(0, 'utf8')).map(({ headers, body }) => {
  // The SDK compares the content type by letter; media type parameters are case-insensitive (RFC 9110 section 8.3.1).
  const event = HTTP.toEvent({ headers: { ...headers, 'content-type': headers['content-type'].toLowerCase() }, body })
  if (process.argv[2] === 'strict') event.validate()
  return event.toJSON()
})
console.log(JSON.stringify(events))
