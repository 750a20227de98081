/** A page that talks: a test starts the parts it wants, and finds in `loop` what happened. */
import { type ConnectOptions, connect, listDevices, type MicrophoneOptions, type Session } from '@moshi/client';

declare global {
  var loop: Loop;
}

export interface LoopEvent {
  readonly name: string;
  /** `performance.now()`. */
  readonly atMs: number;
  readonly data?: unknown;
}

class Loop {
  readonly events: LoopEvent[] = [];
  readonly texts: string[] = [];
  readonly words: string[] = [];
  readonly devices = listDevices;
  #session: Session | undefined;

  get session(): Session {
    if (!this.#session) throw new Error('loop.connect() comes first');
    return this.#session;
  }

  /** Connects to this page's own server, or to `url`. */
  async connect(options: ConnectOptions = {}, url = location.origin): Promise<void> {
    const note =
      (name: string) =>
      (data?: unknown): void => {
        this.events.push({ name, atMs: performance.now(), data: plain(data) });
      };
    const names = [
      ...(['state', 'waiting', 'behind', 'reconnecting', 'resumed', 'new-conversation'] as const),
      ...(['dropped', 'online', 'offline', 'error', 'closed'] as const),
    ];
    const on = Object.fromEntries(names.map((name) => [name, note(name)]));
    this.#session = await connect(url, { ...options, on: { ...on, text: ({ text }) => this.texts.push(text) } });
    const { microphone, speaker } = this.#session;
    for (const name of ['underrun', 'overflow'] as const) speaker.on(name, note(name));
    microphone.on('state', note('microphone'));
    speaker.on('state', note('speaker'));
    speaker.on('word', ({ text }) => this.words.push(text));
  }

  /** Speaker and microphone of the session. */
  async talk(options: MicrophoneOptions = {}): Promise<void> {
    await this.session.speaker.start();
    await this.session.microphone.start(options);
  }

  names(): string[] {
    return this.events.map(({ name }) => name);
  }
}

/** What may leave the page: errors by code and message. */
function plain(data: unknown): unknown {
  return JSON.parse(
    JSON.stringify(data ?? null, (_, value) =>
      value instanceof Error ? { code: (value as { code?: string }).code, message: value.message } : value,
    ),
  );
}

globalThis.loop = new Loop();
