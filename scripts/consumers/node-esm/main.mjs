import { connect, MoshiError } from '@moshi/client';
import * as core from '@moshi/client/core';
import { scriptedServer, stockServers } from '@moshi/client/testing';
import { createServer, loopbackEngine } from '@moshi/server';
import { talk } from './talk.mjs';

const server = await createServer({ engine: loopbackEngine(), port: 0 });
await talk(connect, server.url);
await talk((url) => core.connect(url, { sound: () => import('@moshi/client/sound') }), server.url);
await server.close();

const scripted = scriptedServer(stockServers.moshi());
const session = await connect(scripted.url, { transport: scripted.transport() });
await session.close();

// One class behind every entry.
if (core.MoshiError !== MoshiError) throw new Error('core and client have errors of their own each');
