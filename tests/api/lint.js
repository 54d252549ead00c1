// Lints an OpenAPI document: `node lint.js FILE`; prints what is wrong, a line for each.
import { readFileSync } from 'node:fs'
import { createConfig, lintFromString } from '@redocly/openapi-core'

const rules = {
  // The paths are the contract's: an id and a reserved word may stand at the same place.
  'no-ambiguous-paths': 'off',
  'no-identical-paths': 'error',
  // Health, keys and the like refuse nothing.
  'operation-4xx-response': 'off',
  'operation-operationId-unique': 'error',
  'operation-description': 'off',
  'operation-tag-defined': 'error',
  'no-invalid-media-type-examples': 'error',
  'no-invalid-parameter-examples': 'error',
  'no-invalid-schema-examples': 'error',
  'tag-description': 'error'
}
const config = await createConfig({ extends: ['recommended-strict'], rules, telemetry: 'off' })
const source = readFileSync(process.argv[2], 'utf8')
for (const problem of await lintFromString({ source, absoluteRef: '/openapi.json', config })) {
  console.log(`${problem.ruleId} at ${problem.location[0]?.pointer}: ${problem.message}`)
}
