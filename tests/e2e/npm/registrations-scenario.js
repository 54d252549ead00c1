/*
 * Registrations with the official SDK, told as one JSON object on standard output. Reads from the environment what
 * `eventmill env` exports, and HOOK_URL. Asserts nothing: test_js_sdk.py does.
 */
'use strict'

const { recordedClient, refusal, tell } = require('./recorder')

const CODE = 'com.acme.stock.low'

tell(async () => {
  const env = process.env
  const org = env.CONSUMER_ORG_ID
  const where = [org, env.PROJECT_ID, env.WORKSPACE_ID]
  const { client, outcomes } = await recordedClient()
  const story = { outcomes }

  story.none = await client.getAllRegistrationsForWorkspace(...where)
  const provider = await client.createProvider(...where, { label: 'Warehouse' })
  await client.createEventMetadataForProvider(...where, provider.id, {
    event_code: CODE, label: 'Stock low', description: 'An article runs out'
  })
  const body = (name, deliveryType) => ({
    client_id: env.CLIENT_ID,
    name,
    description: 'Orders what runs out',
    delivery_type: deliveryType,
    events_of_interest: [{ provider_id: provider.id, event_code: CODE }],
    ...(deliveryType.toLowerCase() === 'journal' ? {} : { webhook_url: env.HOOK_URL })
  })
  const create = (name, deliveryType) => client.createRegistration(...where, body(name, deliveryType))

  story.journal = await create('Journal reader', 'journal')
  story.webhook = await create('Single hook', 'WEBHOOK')
  story.batch = await create('Batch hook', 'webhook_batch')
  story.conflict = await refusal(create('Single hook', 'webhook'))
  story.withoutUrl = await refusal(
    client.createRegistration(...where, { ...body('No URL', 'webhook'), webhook_url: undefined })
  )

  const id = story.webhook.registration_id
  story.read = await client.getRegistration(...where, id)
  story.disabled = await client.updateRegistration(...where, id, { ...body('Quiet hook', 'webhook'), enabled: false })
  story.enabled = await client.updateRegistration(...where, id, body('Single hook', 'webhook'))
  story.updateInvalid = await refusal(client.updateRegistration(...where, id, { name: 'Only a name' }))
  story.list = await client.getAllRegistrationsForWorkspace(...where)
  story.unknownWorkspace = await refusal(
    client.getAllRegistrationsForWorkspace(org, env.PROJECT_ID, 'no-such-workspace')
  )

  story.page = await client.getAllRegistrationsForOrg(org)
  story.firstPage = await client.getAllRegistrationsForOrg(org, { page: 0, size: 2 })
  story.lastPage = await client.getAllRegistrationsForOrg(org, { page: 1, size: 2 })
  story.unknownOrg = await refusal(client.getAllRegistrationsForOrg('no-such-organisation'))

  story.deleted = await client.deleteRegistration(...where, id)
  story.gone = await refusal(client.getRegistration(...where, id))
  story.deletedTwice = await refusal(client.deleteRegistration(...where, id))
  return story
})
