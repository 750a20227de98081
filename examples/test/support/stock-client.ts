import { OggOpusDecoder, OggOpusEncoder } from '@moshi/opus';
import { concat } from '@moshi/protocol/audio';
import { WebSocket } from 'ws';

/** A client as people write them for the stock servers: bytes on a WebSocket, no SDK, no extensions. */
export class StockClient {
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly errors: string[] = [];
  text = '';
  handshakes = 0;
  readonly #socket: WebSocket;
  readonly #encoder: OggOpusEncoder;
  readonly #decoder: OggOpusDecoder;
  #heard: Float32Array[] = [];
  #microphone: NodeJS.Timeout | undefined;

  private constructor(socket: WebSocket, encoder: OggOpusEncoder, decoder: OggOpusDecoder) {
    this.#socket = socket;
    this.#encoder = encoder;
    this.#decoder = decoder;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: Buffer) => this.#receive(data));
    this.closed = new Promise((resolve) =>
      socket.on('close', (code, reason) => {
        clearInterval(this.#microphone);
        resolve({ code, reason: reason.toString() });
      }),
    );
  }

  /** Connects and waits for the handshake, or for the end. */
  static async open(url: string): Promise<StockClient> {
    const codecs = await Promise.all([
      OggOpusEncoder.create({ frameMs: 20, packetsPerPage: 4 }),
      OggOpusDecoder.create(),
    ]);
    const client = new StockClient(new WebSocket(url), ...codecs);
    await Promise.race([client.closed, new Promise((resolve) => client.#socket.once('message', resolve))]);
    return client;
  }

  /** All that was heard, 24 kHz mono. */
  get heard(): Float32Array {
    return concat(this.#heard);
  }

  sendText(text: string): void {
    this.#socket.send(Buffer.concat([Uint8Array.of(2), Buffer.from(text)]));
  }

  /** Sends what a microphone would, in real time; silence when there is nothing left of `pcm`. */
  speak(pcm = new Float32Array(0)): void {
    let at = 0;
    if (!this.#microphone) this.#socket.send(Buffer.concat([Uint8Array.of(1), this.#encoder.header()]));
    clearInterval(this.#microphone);
    this.#microphone = setInterval(() => {
      const frame = new Float32Array(1920);
      frame.set(pcm.subarray(at, at + 1920));
      at += 1920;
      for (const page of this.#encoder.encode(frame)) this.#socket.send(Buffer.concat([Uint8Array.of(1), page]));
    }, 80);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.closed;
    this.#encoder.free();
    this.#decoder.free();
  }

  #receive(data: Buffer): void {
    const payload = data.subarray(1);
    if (data[0] === 0) this.handshakes++;
    else if (data[0] === 1) this.#heard.push(this.#decoder.decode(payload));
    else if (data[0] === 2) this.text += payload.toString();
    else if (data[0] === 5) this.errors.push(payload.toString());
    else throw new Error(`a stock client does not know message type ${data[0]}`);
  }
}
