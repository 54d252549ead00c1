/*
 * What the official SDK says about a delivery and about changed copies of it. Standard input: the delivery as
 * {"body", "headers", "clientId"}; standard output: one verdict per copy. Run with redirect-keys.js preloaded.
 */
'use strict'

const sdk = require('@adobe/aio-lib-events')

async function main () {
  const { body, headers, clientId } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
  const client = await sdk.init(process.env.IMS_ORG_ID, clientId, process.env.ACCESS_TOKEN, {})
  const signatures = {
    digiSignature1: headers['x-adobe-digital-signature-1'],
    digiSignature2: headers['x-adobe-digital-signature-2'],
    publicKeyPath1: headers['x-adobe-public-key1-path'],
    publicKeyPath2: headers['x-adobe-public-key2-path']
  }
  const otherSignature = Buffer.alloc(256).toString('base64')
  const verify = (text, options) => client.verifyDigitalSignatureForEvent(text, clientId, { ...signatures, ...options })
  return {
    intact: await verify(body),
    onlySecondGood: await verify(body, { digiSignature1: otherSignature }),
    byteChanged: await verify(body.replace('A1', 'A2')),
    bothSignaturesBad: await verify(body, { digiSignature1: otherSignature, digiSignature2: otherSignature })
  }
}

main().then(
  verdicts => {
    // The SDK says undefined, not false, when neither signature fits.
    const told = Object.fromEntries(Object.entries(verdicts).map(([name, verdict]) => [name, Boolean(verdict)]))
    process.stdout.write(JSON.stringify(told), () => process.exit(0))
  },
  error => { console.error(error); process.exit(1) }
)
