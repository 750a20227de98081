import { decodeMessage, encodeMessage, type Message } from '@moshi/protocol';
import type { Transport, TransportClose, TransportHandlers } from '../../src/index';

/** A transport whose other end is the test. */
export class FakeTransport implements Transport {
  bufferedAmount = 0;
  url = '';
  sent: Message[] = [];
  /** What the session did to end the connection, in order. */
  ended: string[] = [];
  #handlers: TransportHandlers | undefined;

  open(url: string, handlers: TransportHandlers): void {
    this.url = url;
    this.#handlers = handlers;
  }

  send(bytes: Uint8Array): void {
    this.sent.push(decodeMessage(bytes));
  }

  close(code: number, reason: string): void {
    this.ended.push(`close ${code} ${reason}`.trim());
  }

  terminate(): void {
    this.ended.push('terminate');
  }

  /** The socket is open. */
  accept(): void {
    this.#handlers?.open();
  }

  receive(message: Message): void {
    this.#handlers?.message(encodeMessage(message));
  }

  receiveRaw(data: Uint8Array | string): void {
    this.#handlers?.message(data);
  }

  hangUp(close: Partial<TransportClose> = {}): void {
    this.#handlers?.close({ code: 1000, reason: '', clean: true, ...close });
  }

  /** Socket open and handshake seen. */
  shakeHands(): void {
    this.accept();
    this.receive({ type: 'handshake' });
  }
}
