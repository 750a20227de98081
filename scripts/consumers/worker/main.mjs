import { connect } from '@moshi/client';
import { relay } from './relay.mjs';

/** Sends packets to the first of `servers`, what it answers to the next, and so on; resolves with what the last one says. */
async function talk({ servers, packets, cutAfter = packets.length, seconds }) {
  const seen = { packets: [], text: '', resumed: [] };
  const sessions = await Promise.all(servers.map((server) => connect(server, { codecs: false })));
  const [first, last] = [sessions[0], sessions.at(-1)];
  for (const [i, session] of sessions.slice(1).entries()) {
    sessions[i].on('packets', (event) => session.sendPackets(event.packets));
  }
  first.on('resumed', ({ droppedMs }) => {
    seen.resumed.push({ droppedMs });
    send(cutAfter);
  });
  const send = (from, to) => first.sendPackets(packets.slice(from, to).map((bytes) => Uint8Array.from(bytes)));
  await new Promise((resolve, reject) => {
    last.on('text', ({ text }) => {
      seen.text += text;
    });
    last.on('packets', (event) => {
      seen.packets.push(...event.packets.map((packet) => [...packet]));
      if (last.metrics.audioReceivedSeconds >= seconds) resolve();
    });
    for (const session of sessions)
      session.on('closed', ({ error, code }) => reject(error ?? new Error(`closed: ${code}`)));
    send(0, cutAfter);
  });
  await Promise.all(sessions.map((session) => session.close()));
  return seen;
}

/** Is to fail. */
async function refuse({ server, options }) {
  const session = await connect(server, options);
  await session.close();
  return { message: 'nobody refused' };
}

const scenes = { talk, refuse };

/** A call is an object of its own. */
export class Call {
  constructor(_state, env) {
    this.env = env;
  }

  fetch() {
    return relay(this.env.SERVER, { authorization: `Bearer ${this.env.KEY}` });
  }
}

export default {
  async fetch(request, { CALL }) {
    if (request.headers.get('upgrade') === 'websocket') return CALL.get(CALL.newUniqueId()).fetch(request);
    const { scene, ...given } = await request.json();
    try {
      return Response.json(await scenes[scene](given));
    } catch ({ code, message }) {
      return Response.json({ code, message });
    }
  },
};
