/*
 * A publisher's and a journal reader's day with the official SDK, told as one JSON object on standard output.
 * Reads from the environment what `eventmill env` exports. Asserts nothing: test_js_sdk.py does.
 */
'use strict'

const { recordedClient, refusal, tell } = require('./recorder')

const CODE = 'com.acme.stock.low'

tell(async () => {
  const env = process.env
  const where = [env.CONSUMER_ORG_ID, env.PROJECT_ID, env.WORKSPACE_ID]
  const { client, outcomes } = await recordedClient({ retries: 2, timeout: 30000 })
  const story = { outcomes }

  const provider = await client.createProvider(...where, { label: 'Warehouse', description: 'Stock moves' })
  const source = `urn:uuid:${provider.id}`
  await client.createEventMetadataForProvider(...where, provider.id, {
    event_code: CODE, label: 'Stock low', description: 'An article runs out'
  })
  story.publishedToNobody = await client.publishEvent({ id: 'order-0', source, type: CODE, data: {} }) || null
  const registration = await client.createRegistration(...where, {
    client_id: env.CLIENT_ID,
    name: 'Stock reader',
    description: 'Reads the journal',
    delivery_type: 'journal',
    events_of_interest: [{ provider_id: provider.id, event_code: CODE }]
  })
  const journalUrl = registration._links['rel:events'].href
  const publish = id => client.publishEvent({ id, source, type: CODE, data: { sku: 'A1' } })

  story.idle = await client.getEventsFromJournal(journalUrl, { latest: true })
  story.published = await publish('order-1')
  story.withLatest = await client.getEventsFromJournal(story.idle.link.next, { latest: true })
  story.withoutLatest = await client.getEventsFromJournal(story.idle.link.next)
  story.end = await client.getEventsFromJournal(story.withoutLatest.link.next)
  await publish('order-2')
  await publish('order-3')
  const position = story.withLatest.events[0].position
  story.since = await client.getEventsFromJournal(journalUrl, { since: position })
  story.limited = await client.getEventsFromJournal(journalUrl, { limit: 2 })
  story.afterLimited = await client.getEventsFromJournal(story.limited.link.next)
  story.withHeaders = await client.getEventsFromJournal(journalUrl, {}, true)
  story.badPosition = await refusal(client.getEventsFromJournal(journalUrl, { since: 'nowhere' }))

  story.observedAll = await observed(client, journalUrl, 3)
  story.observedSince = await observed(client, journalUrl, 2, { since: position })
  story.observedPolling = await observedWhilePublishing(client, registration, () => publish('order-4'))

  story.unknownProvider = await refusal(
    client.publishEvent({ id: 'order-5', source: 'urn:uuid:nobody', type: CODE, data: {} })
  )
  story.unknownJournal = await refusal(client.getEventsFromJournal(`${journalUrl}-of-nobody`))
  return story
})

/* The ids of the first `count` events that the SDK's observable emits. */
function observed (client, journalUrl, count, options, polling) {
  return new Promise((resolve, reject) => {
    const ids = []
    const subscription = client.getEventsObservableFromJournal(journalUrl, options, polling).subscribe({
      next: entry => {
        if (ids.push(entry.event.id) === count) {
          subscription.unsubscribe()
          resolve(ids)
        }
      },
      error: reject
    })
  })
}

/* What is published while the observable polls from the end of the journal, at an interval of its own. */
async function observedWhilePublishing (client, registration, publish) {
  const url = registration._links['rel:events'].href
  const { link } = await client.getEventsFromJournal(url, { latest: true })
  const seen = observed(client, link.next, 1, { latest: true, limit: 1 }, { interval: 50 })
  await publish()
  return seen
}
