import { WebSocketTransport } from '@moshi/client';

// Workers compile no WebAssembly as they run, so there are no codecs: what is tried is the connection, up to the handshake.
export default {
  async fetch(request) {
    const url = new URL(request.url).searchParams.get('server');
    const transport = new WebSocketTransport({ headers: { 'x-from': 'a worker' } });
    const answer = await new Promise((resolve) => {
      transport.open(url, {
        open: () => undefined,
        message: (data) => resolve(`message of ${data.length} byte, the first ${data[0]}`),
        close: ({ code, refused }) => resolve(refused ? `refused with ${refused.status}` : `closed with ${code}`),
      });
    });
    transport.close(1000, '');
    return new Response(answer);
  },
};
