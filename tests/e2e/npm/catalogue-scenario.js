/*
 * Providers, their families and their event metadata with the official SDK, told as one JSON object on standard
 * output. Reads from the environment what `eventmill env` exports. Asserts nothing: test_js_sdk.py does.
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

  story.families = await client.getProviderMetadata()
  const stranger = await recordedClient({}, `${env.ACCESS_TOKEN}x`)
  story.badToken = await refusal(stranger.client.getProviderMetadata())
  story.none = await client.getAllProviders(org)
  story.created = await client.createProvider(...where, {
    label: 'Warehouse',
    description: 'Stock moves',
    docs_url: 'https://docs.example/stock',
    instance_id: 'north',
    organization_id: org
  })
  const id = story.created.id
  story.conflict = await refusal(client.createProvider(...where, { label: 'Warehouse' }))
  story.invalid = await refusal(client.createProvider(...where, { description: 'No label' }))
  story.updated = await client.updateProvider(...where, id, { label: 'Warehouse North', description: 'All moves' })
  story.updateInvalid = await refusal(client.updateProvider(...where, id, { label: 'Slash / is not allowed' }))

  const metadata = { event_code: CODE, label: 'Stock low', description: 'An article runs out' }
  const template = Buffer.from(JSON.stringify({ sku: 'A1' })).toString('base64')
  story.metadata = await client.createEventMetadataForProvider(...where, id, {
    ...metadata, sample_event_template: template
  })
  story.metadataConflict = await refusal(client.createEventMetadataForProvider(...where, id, metadata))
  story.metadataUpdated = await client.updateEventMetadataForProvider(...where, id, CODE, {
    ...metadata, label: 'Stock is low'
  })
  story.metadataOtherCode = await refusal(
    client.updateEventMetadataForProvider(...where, id, CODE, { ...metadata, event_code: 'com.acme.other' })
  )
  story.metadataRead = await client.getEventMetadataForProvider(id, CODE)
  story.metadataList = await client.getAllEventMetadataForProvider(id)

  const filtered = filterBy => client.getAllProviders(org, { filterBy })
  story.read = await client.getProvider(id)
  story.readWithEvents = await client.getProvider(id, true)
  story.all = await client.getAllProviders(org)
  story.allWithEvents = await client.getAllProviders(org, { fetchEventMetadata: true })
  story.byInstance = await filtered({ providerMetadataId: '3rd_party_custom_events', instanceId: 'north' })
  story.byFamilies = await filtered({ providerMetadataIds: ['3rd_party_custom_events', 'aem'] })
  story.byOtherInstance = await refusal(
    filtered({ providerMetadataId: '3rd_party_custom_events', instanceId: 'south' })
  )
  story.bothFilters = await refusal(filtered({ providerMetadataId: 'aem', providerMetadataIds: ['aem'] }))
  story.unknownOrg = await refusal(client.getAllProviders('no-such-organisation'))

  await client.createEventMetadataForProvider(...where, id, { ...metadata, event_code: 'com.acme.stock.out' })
  story.oneDeleted = await client.deleteEventMetadata(...where, id, CODE)
  story.oneGone = await refusal(client.getEventMetadataForProvider(id, CODE))
  story.deleteGone = await refusal(client.deleteEventMetadata(...where, id, CODE))
  story.allDeleted = await client.deleteAllEventMetadata(...where, id)
  story.metadataEmpty = await client.getAllEventMetadataForProvider(id)
  story.deleted = await client.deleteProvider(...where, id)
  story.gone = await refusal(client.getProvider(id))
  story.listOfGone = await refusal(client.getAllEventMetadataForProvider(id))
  story.deletedTwice = await refusal(client.deleteProvider(...where, id))
  return story
})
