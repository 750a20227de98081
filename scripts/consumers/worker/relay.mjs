import { connect } from '@moshi/client';
import { decodeMessage, encodeMessage, OggOpusReader, OggOpusWriter } from '@moshi/protocol';

/** A caller's WebSocket on one side, a session with a server on the other; between them Opus passes as it is. */
export async function relay(server, headers) {
  const session = await connect(server, { codecs: false, headers });
  const { 0: socket, 1: caller } = new WebSocketPair();
  caller.binaryType = 'arraybuffer';
  caller.accept();

  const [reader, writer] = [new OggOpusReader(), new OggOpusWriter()];
  const tell = (message) => caller.send(encodeMessage(message));
  tell({ type: 'handshake' });
  tell({ type: 'audio', data: writer.header() });
  session.on('packets', ({ packets }) => tell({ type: 'audio', data: writer.page(packets) }));
  session.on('text', ({ text }) => tell({ type: 'text', text }));
  session.on('closed', ({ error }) => caller.close(error ? 1011 : 1000, error?.code));

  caller.addEventListener('message', ({ data }) => {
    try {
      const message = decodeMessage(new Uint8Array(data));
      if (message.type === 'audio') session.sendPackets(reader.push(message.data));
    } catch {
      session.close(); // whatever it is, it is no client of ours
    }
  });
  caller.addEventListener('close', () => session.close());
  return new Response(null, { status: 101, webSocket: socket });
}
