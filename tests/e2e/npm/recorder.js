/*
 * The official SDK with a log: which of its methods were called, and how each call ended. The calls themselves are
 * the SDK's own, untouched.
 */
'use strict'

const sdk = require('@adobe/aio-lib-events')

/* A client of the gateway that `eventmill env` describes, and the outcomes of its methods, in order of first call. */
async function recordedClient (options = {}, token = process.env.ACCESS_TOKEN) {
  const env = process.env
  const client = await sdk.init(env.IMS_ORG_ID, env.CLIENT_ID, token, {
    eventsBaseURL: env.API_URL,
    eventsIngressURL: env.INGRESS_URL,
    ...options
  })
  const outcomes = {}
  const note = (method, outcome) => {
    outcomes[method] = [...new Set([...(outcomes[method] || []), outcome])]
  }
  const recorded = new Proxy(client, {
    get (target, method) {
      const member = target[method]
      if (typeof member !== 'function') return member
      return (...values) => observe(member.apply(target, values), outcome => note(method, outcome))
    }
  })
  return { client: recorded, outcomes }
}

function observe (result, note) {
  if (typeof result.then !== 'function') {
    note('works')
    return result
  }
  return result.then(
    value => { note(value && value.error ? `an error object with ${value.error.statusCode}` : 'works'); return value },
    error => { note(`\`${error.code}\` ${statusOf(error)}`); throw error }
  )
}

/* The SDK tells the HTTP status in the text of its errors only. */
function statusOf (error) {
  const status = /(?:Error: |with )(\d{3}) /.exec(error.message)
  return status ? `on ${status[1]}` : 'before any request'
}

/* What a call that has to fail says. */
async function refusal (call) {
  const error = await call.then(() => { throw new Error('was not refused') }, error => error)
  const { requestId, conflictingId } = error.sdkDetails || {}
  return { code: error.code, message: error.message, requestId, conflictingId }
}

/* All methods that an application may call. */
function methods (client) {
  return Object.getOwnPropertyNames(Object.getPrototypeOf(client))
    .filter(name => !['constructor', 'init'].includes(name) && !name.startsWith('__'))
}

/* Runs `main` and says its answer as one line of JSON; the SDK's observables would keep the process alive for ever. */
function tell (main) {
  main().then(
    story => process.stdout.write(JSON.stringify(story), () => process.exit(0)),
    error => { console.error(error); process.exit(1) }
  )
}

module.exports = { recordedClient, refusal, methods, tell }
