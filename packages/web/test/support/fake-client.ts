import type { ConnectOptions, DeviceList, MoshiErrorCode, Session } from '@moshi/client';

// Stands in for @moshi/client in builds of the page that are looked at state by state: a test moves it from outside.

type Listener = (event?: unknown) => void;

/** Events by name, and someone who emits them. */
class Emitter {
  readonly #listeners = new Map<string, Set<Listener>>();
  on(name: string, listener: Listener): this {
    this.#listeners.set(name, (this.#listeners.get(name) ?? new Set()).add(listener));
    return this;
  }
  off(name: string, listener: Listener): this {
    this.#listeners.get(name)?.delete(listener);
    return this;
  }
  emit(name: string, event?: unknown): void {
    for (const listener of this.#listeners.get(name) ?? []) listener(event);
  }
}

export class MoshiError extends Error {
  override readonly name = 'MoshiError';
  readonly code: MoshiErrorCode;
  constructor(code: MoshiErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

class FakeSide extends Emitter {
  state: { status: string } = { status: 'off' };
  level = 0;
  volume = 1;
  muted = false;
  loudness = 0;
  device: string | undefined;
  options: unknown;
  playout: unknown;
  async start(options?: unknown): Promise<void> {
    this.options = options;
    const failure = fake.startFailure;
    fake.startFailure = undefined;
    if (failure) throw new MoshiError(failure.code, failure.message);
    this.become(fake.blocked && this === session?.speaker ? 'blocked' : 'playing');
  }
  become(status: string): void {
    this.state = { status };
    this.emit('state', this.state);
  }
  async resume(): Promise<void> {
    this.become('playing');
  }
  async setDevice(device: string | undefined): Promise<void> {
    this.device = device;
  }
  setVolume(volume: number): void {
    this.volume = volume;
  }
  setMuted(muted: boolean): void {
    this.muted = muted;
  }
  /** A spectrum that looks like a vowel. */
  getByteFrequencyData(bands: Uint8Array): void {
    for (let i = 0; i < bands.length; i++)
      bands[i] = this.loudness * Math.exp(-i / 7) * (0.75 + 0.25 * Math.cos(i * 1.9));
  }
}

class FakeSession extends Emitter {
  readonly speaker = new FakeSide();
  readonly microphone = new FakeSide();
  readonly extensions = new Set(fake.extensions);
  readonly said: string[] = [];
  interrupted = 0;
  async say(text: string): Promise<void> {
    this.said.push(text);
  }
  interrupt(): void {
    this.interrupted++;
  }
  async record() {
    return { seconds: 0, stop: async () => new Uint8Array(44) };
  }
  async close(): Promise<void> {
    // A goodbye takes its time, in which the page is looked at.
    await new Promise((resolve) => setTimeout(resolve, 100));
    this.emit('closed', { code: 1000, reason: '', clean: true });
  }
}

let session: FakeSession | undefined;

/** What a test sees and moves: `window.fake`. */
const fake = {
  /** What `connect` was called with, the last time. */
  url: '',
  options: undefined as ConnectOptions | undefined,
  /** Leave `connect` waiting; `open` goes on. */
  hold: false,
  failure: undefined as { code: MoshiErrorCode; message: string } | undefined,
  startFailure: undefined as { code: MoshiErrorCode; message: string } | undefined,
  blocked: false,
  voices: ['NATF0', 'NATF1', 'NATM0', 'NATM1', 'VARF0', 'VARM0', 'my-voice'],
  voicesRefused: false,
  extensions: ['say', 'waiting'],
  open: () => {},
  get session() {
    return session;
  },
};
Object.assign(globalThis, { fake: Object.assign(fake, (globalThis as { fakeStart?: object }).fakeStart) });

export async function connect(url: string, options: ConnectOptions): Promise<Session> {
  Object.assign(fake, { url, options });
  const { signal } = options;
  if (fake.hold) {
    await new Promise<void>((resolve, reject) => {
      fake.open = resolve;
      signal?.addEventListener('abort', () => reject(new MoshiError('aborted', 'the call was taken back')));
    });
  }
  if (fake.failure) throw new MoshiError(fake.failure.code, fake.failure.message);
  session = new FakeSession();
  return session as unknown as Session;
}

export async function listVoices(): Promise<{ name: string }[]> {
  if (fake.voicesRefused) throw new MoshiError('refused', 'answered with HTTP 401: give the key the server asks for');
  return fake.voices.map((name) => ({ name }));
}

export async function listDevices(): Promise<DeviceList> {
  const device = (kind: 'input' | 'output', id: string, label: string) => ({ id, label, kind, isDefault: false });
  return {
    inputs: [device('input', 'desk', 'Desk microphone'), device('input', 'headset', 'Headset (USB)')],
    outputs: [device('output', 'headset', 'Headset (USB)')],
    labelled: true,
    canChooseOutput: true,
  };
}

export const publishedVoices: readonly string[] = ['NATF0', 'NATM0'];
