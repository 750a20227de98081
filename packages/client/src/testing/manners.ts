import { decodeMessage, isOpusHead, type Message, OggPacketReader } from '@moshi/protocol';

/** Watches one client for what a stock server would punish. */
export class Manners {
  readonly #violations: string[];
  readonly #packets = new OggPacketReader();
  #shookHands = false;
  #headers = false;
  #page = -1;

  /** Adds to `violations`, which clients of one server share. */
  constructor(violations: string[]) {
    this.#violations = violations;
  }

  /** The server has said that it is ready. */
  shookHands(): void {
    this.#shookHands = true;
  }

  /** Looks at a message of the client, and returns it unless it cannot be read. */
  read(data: Uint8Array | string): Message | undefined {
    if (typeof data === 'string') {
      this.#violations.push('a WebSocket text frame');
      return undefined;
    }
    try {
      const message = decodeMessage(data);
      if (message.type === 'audio') this.#watch(message.data);
      return message;
    } catch (error) {
      this.#violations.push(`a message that is none: ${(error as Error).message}`);
      return undefined;
    }
  }

  #watch(data: Uint8Array): void {
    if (!this.#shookHands) this.#violations.push('audio before the handshake');
    for (const packet of this.#packets.push(data)) {
      const head = isOpusHead(packet.data);
      if (head === this.#headers) this.#violations.push(head ? 'repeated headers' : 'audio before headers');
      this.#headers = true;
    }
    const { badCrc, skippedBytes } = this.#packets.stats;
    if (badCrc > 0 || skippedBytes > 0 || data.length < 22) {
      this.#violations.push('broken Ogg pages');
      return;
    }
    const page = new DataView(data.buffer, data.byteOffset).getUint32(18, true);
    if (page <= this.#page) this.#violations.push('pages out of sequence');
    this.#page = page;
  }
}
