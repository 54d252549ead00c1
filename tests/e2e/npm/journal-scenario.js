/*
 * A publisher's and a journal reader's day with the official SDK, told as one JSON object on standard output.
 * Reads from the environment what `eventmill env` exports. Asserts nothing: test_js_sdk.py does.
 */
'use strict'

const sdk = require('@adobe/aio-lib-events')

async function main () {
  const env = process.env
  const where = [env.CONSUMER_ORG_ID, env.PROJECT_ID, env.WORKSPACE_ID]
  const client = await sdk.init(env.IMS_ORG_ID, env.CLIENT_ID, env.ACCESS_TOKEN, {
    eventsBaseURL: env.API_URL,
    eventsIngressURL: env.INGRESS_URL
  })

  const provider = await client.createProvider(...where, { label: 'Warehouse', description: 'Stock moves' })
  const metadata = await client.createEventMetadataForProvider(...where, provider.id, {
    event_code: 'com.acme.stock.low', label: 'Stock low', description: 'An article runs out'
  })
  const registration = await client.createRegistration(...where, {
    client_id: env.CLIENT_ID,
    name: 'Stock reader',
    description: 'Reads the journal',
    delivery_type: 'journal',
    events_of_interest: [{ provider_id: provider.id, event_code: 'com.acme.stock.low' }]
  })
  const journalUrl = registration._links['rel:events'].href

  const idle = await client.getEventsFromJournal(journalUrl, { latest: true })
  const published = await client.publishEvent({
    id: 'order-771',
    source: `urn:uuid:${provider.id}`,
    type: 'com.acme.stock.low',
    data: { sku: 'A1' }
  })
  const withLatest = await client.getEventsFromJournal(idle.link.next, { latest: true })
  const withoutLatest = await client.getEventsFromJournal(idle.link.next)
  const end = await client.getEventsFromJournal(withoutLatest.link.next)
  const observed = await firstObserved(client, journalUrl)

  const listed = await client.getAllRegistrationsForWorkspace(...where)
  const providers = await client.getAllProviders(env.CONSUMER_ORG_ID)
  await client.deleteRegistration(...where, registration.registration_id)
  await client.deleteEventMetadata(...where, provider.id, 'com.acme.stock.low')
  await client.deleteProvider(...where, provider.id)
  const gone = await client.getProvider(provider.id).catch(error => error)

  return {
    provider,
    metadata,
    registration,
    idle,
    published,
    withLatest,
    withoutLatest,
    end,
    observed,
    listedRegistrations: listed._embedded.registrations.map(each => each.registration_id),
    listedProviders: providers._embedded.providers.map(each => each.id),
    goneCode: gone.code,
    goneRequestId: gone.sdkDetails && gone.sdkDetails.requestId
  }
}

/* The SDK's observable polls for ever; the process exits once the story is told. */
function firstObserved (client, journalUrl) {
  return new Promise((resolve, reject) => {
    client.getEventsObservableFromJournal(journalUrl).subscribe({ next: resolve, error: reject })
  })
}

main().then(
  story => process.stdout.write(JSON.stringify(story), () => process.exit(0)),
  error => { console.error(error); process.exit(1) }
)
