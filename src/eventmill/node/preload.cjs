/*
 * Preload for Node (NODE_OPTIONS=--require): what goes to https://static.adobeioevents.com goes to KEYS_URL instead.
 * The official signature verifier fetches its public keys from that host alone and ignores proxy variables. Requests to
 * every other host are left as they are; without KEYS_URL all are.
 */
'use strict'

const KEYS_HOST = 'static.adobeioevents.com'

function redirect (keysUrl) {
  const http = require('node:http')
  const https = require('node:https')
  const there = keysUrl.protocol === 'https:' ? https : http
  const above = keysUrl.pathname.replace(/\/$/, '') // a gateway may be served below a path
  const requestThere = there.request

  // The host a request is for: of a string or URL, else of its options.
  function hostOf (input) {
    if (typeof input === 'string' || input instanceof URL) {
      return URL.canParse(String(input)) ? new URL(String(input)).hostname : ''
    }
    const { hostname, host } = input || {}
    return String(hostname || host || '').replace(/:\d+$/, '')
  }

  // The options of the same request to KEYS_URL.
  function redirected (input, options) {
    const url = typeof input === 'string' || input instanceof URL ? new URL(String(input)) : null
    const given = url ? options : input
    const path = above + (url ? url.pathname + url.search : given.path)
    const { agent, host, hostname, port, protocol, servername, createConnection, headers, ...rest } = given || {}
    return { ...rest, path, headers: withoutHost(headers), hostname: keysUrl.hostname, port: keysUrl.port }
  }

  function withoutHost (headers) {
    return headers && Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'host'))
  }

  const { request } = https

  https.request = function (input, options, callback) {
    if (hostOf(input) !== KEYS_HOST) {
      return request.apply(this, arguments)
    }
    const given = typeof options === 'function' ? {} : options
    return requestThere.call(there, redirected(input, given), typeof options === 'function' ? options : callback)
  }

  https.get = function (...values) {
    const asked = https.request(...values)
    asked.end()
    return asked
  }

  const { fetch } = globalThis
  if (fetch) {
    globalThis.fetch = function (input, init) {
      const address = input instanceof Request ? input.url : String(input)
      if (!URL.canParse(address) || new URL(address).origin !== `https://${KEYS_HOST}`) {
        return fetch.call(this, input, init)
      }
      const { pathname, search } = new URL(address)
      const target = new URL(above + pathname + search, keysUrl)
      return fetch.call(this, input instanceof Request ? new Request(target, input) : target, init)
    }
  }
}

if (process.env.KEYS_URL) {
  redirect(new URL(process.env.KEYS_URL))
}
