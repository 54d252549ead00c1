/*
 * Preload (node --require): requests for https://static.adobeioevents.com go to KEYS_URL instead, because the SDK
 * knows no other host for public keys. Everything else is untouched.
 */
'use strict'

const http = require('node:http')
const https = require('node:https')

const keysUrl = new URL(process.env.KEYS_URL)
const requestByTls = https.request

https.request = function request (options, ...rest) {
  const host = options.hostname || options.host
  if (host !== 'static.adobeioevents.com') {
    return requestByTls.call(this, options, ...rest)
  }
  const { method, path, headers } = options
  return http.request({ method, path, headers, host: keysUrl.hostname, port: keysUrl.port }, ...rest)
}
