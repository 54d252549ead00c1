/*
 * Reads EVENTS events from the journal at JOURNAL_URL with the official SDK's observable, and says as one JSON object
 * on standard output how many different ones came, in what order. Asserts nothing: test_js_sdk.py does.
 */
'use strict'

const { recordedClient, tell } = require('./recorder')

tell(async () => {
  const wanted = Number(process.env.EVENTS)
  const { client } = await recordedClient({ retries: 2, timeout: 30000 })
  return new Promise((resolve, reject) => {
    const ids = new Set()
    const story = { read: 0, unordered: 0, first: null, last: null }
    const subscription = client.getEventsObservableFromJournal(process.env.JOURNAL_URL).subscribe({
      next: ({ event }) => {
        const number = Number(event.id)
        story.unordered += story.last !== null && number <= story.last
        story.first = story.first ?? number
        story.last = number
        story.read += 1
        ids.add(number)
        if (ids.size === wanted) {
          subscription.unsubscribe()
          resolve({ ...story, different: ids.size })
        }
      },
      error: reject
    })
  })
})
