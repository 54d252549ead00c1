/*
 * What the official SDK says about a delivery and about changed copies of it. Standard input: the delivery as
 * {"body", "headers", "clientId"}; standard output: one verdict per copy. The SDK must reach the gateway's keys.
 */
'use strict'

const { recordedClient, methods, tell } = require('./recorder')

tell(async () => {
  const { body, headers, clientId } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
  const { client, outcomes } = await recordedClient()
  const signatures = {
    digiSignature1: headers['x-adobe-digital-signature-1'],
    digiSignature2: headers['x-adobe-digital-signature-2'],
    publicKeyPath1: headers['x-adobe-public-key1-path'],
    publicKeyPath2: headers['x-adobe-public-key2-path']
  }
  const otherSignature = Buffer.alloc(256).toString('base64')
  const ask = (text, options, recipient = clientId) =>
    client.verifyDigitalSignatureForEvent(text, recipient, { ...signatures, ...options })
  // The SDK says undefined, not false, when neither signature fits.
  const verify = async (...values) => Boolean(await ask(...values))

  const verdicts = {
    intact: await verify(body),
    inBase64: await verify(Buffer.from(body).toString('base64')),
    onlySecondGood: await verify(body, { digiSignature1: otherSignature }),
    byteChanged: await verify(body.replace('A1', 'A2')),
    bothSignaturesBad: await verify(body, { digiSignature1: otherSignature, digiSignature2: otherSignature })
  }
  const batch = await ask(`[${body}]`)
  const otherRecipient = await ask(body, {}, 'somebody-else')
  return { verdicts, batch, otherRecipient, outcomes, methods: methods(client) }
})
