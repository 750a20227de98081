const { connect, MoshiError } = require('@moshi/client');
const core = require('@moshi/client/core');
const { scriptedServer, stockServers } = require('@moshi/client/testing');
const { createServer, loopbackEngine } = require('@moshi/server');

async function main() {
  const { talk } = await import('./talk.mjs');
  const server = await createServer({ engine: loopbackEngine(), port: 0 });
  await talk(connect, server.url);
  await talk((url) => core.connect(url, { sound: async () => require('@moshi/client/sound') }), server.url);
  await server.close();

  const scripted = scriptedServer(stockServers.moshi());
  const session = await connect(scripted.url, { transport: scripted.transport() });
  await session.close();

  if (core.MoshiError !== MoshiError) throw new Error('core and client have errors of their own each');
}

main();
