/*
 * Parses AsyncAPI documents with the official parser: a JSON object of name and text on standard input; the diagnostics
 * of each, and what the parser found in it, as one JSON object on standard output. Asserts nothing: test_asyncapi.py does.
 */
import { readFileSync } from 'node:fs'
import { DiagnosticSeverity, Parser } from '@asyncapi/parser'

const parser = new Parser()
const told = {}
for (const [name, text] of Object.entries(JSON.parse(readFileSync(0, 'utf8')))) {
  const { document, diagnostics } = await parser.parse(text)
  told[name] = {
    errors: diagnostics.filter(each => each.severity === DiagnosticSeverity.Error),
    others: diagnostics.filter(each => each.severity !== DiagnosticSeverity.Error).map(each => each.code),
    version: document?.version(),
    title: document?.info().title(),
    servers: document?.servers().all().map(each => each.id()),
    operations: document?.operations().all().map(each => ({
      id: each.id(),
      channels: each.channels().all().map(channel => channel.address()),
      messages: each.messages().all().map(message => message.name()),
      tags: each.tags().all().map(tag => tag.name())
    })),
    schemas: document?.components().schemas().all().map(each => each.id())
  }
}
console.log(JSON.stringify(told))
