/*
 * What `aio app pack`, `deploy` and `undeploy` do about events: the hooks of the official events plugin, called as
 * those commands call them. Standard input: a list of {"hook", "options"}; standard output: how each went, and the
 * workspace's registrations after it. Asserts nothing: test_aio_cli.py does.
 */
'use strict'

const sdk = require('@adobe/aio-lib-events')

async function main () {
  const { project, steps } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
  const client = await sdk.init(project.org.ims_org_id, process.env.SERVICE_API_KEY, process.env.ACCESS_TOKEN)
  const told = []
  for (const { hook, options } of steps) {
    const run = require(`@adobe/aio-cli-plugin-events/src/hooks/${hook}-event-reg`)
    const error = await run(options).then(() => null, error => error.message)
    const list = await client.getAllRegistrationsForWorkspace(project.org.id, project.id, project.workspace.id)
    told.push({ error, registrations: list._embedded.registrations })
  }
  return told
}

main().then(
  told => process.stdout.write(JSON.stringify(told), () => process.exit(0)),
  error => { console.error(error); process.exit(1) }
)
