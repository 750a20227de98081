/** A page with microphone and speaker of a session that is not there: it keeps what it is sent, and says what the test says. */
import { type AudioOptions, type HeardWord, listDevices, type Microphone, type Speaker } from '@moshi/client';
import type { AudioSession } from '../../client/src/audio/types';
import { createSessionAudio } from '../../client/src/session-audio';

declare global {
  var Sound: new (options: AudioOptions) => SoundInPage;
  var sound: SoundInPage;
  var pause: (ms: number) => Promise<void>;
  var devices: typeof listDevices;
}

const FRAME = 1920;
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const toText = (pcm: Float32Array) => Array.from(pcm, (sample) => Math.round(sample * 0x7fff)).join();

class SoundPage {
  readonly microphone: Microphone;
  readonly speaker: Speaker;
  readonly states: string[] = [];
  readonly errors: string[] = [];
  readonly words: (HeardWord & { atMs: number })[] = [];
  readonly audio;
  #listeners = new Map<string, (event: never) => void>();
  #sent: Float32Array[] = [];
  #time = 0;

  constructor(options: AudioOptions) {
    const session: AudioSession = {
      state: { status: 'ready' },
      sendAudio: (pcm) => this.#sent.push(pcm.slice()),
      on: (event: string, listener: (event: never) => void) => this.#listeners.set(event, listener),
    };
    this.audio = createSessionAudio(session, options);
    this.microphone = this.audio.microphone;
    this.speaker = this.audio.speaker;
    this.microphone.on('state', ({ status }) => this.states.push(`microphone ${status}`));
    this.speaker.on('state', ({ status }) => this.states.push(`speaker ${status}`));
    this.microphone.on('error', ({ code }) => this.errors.push(code));
    this.speaker.on('word', (word) => this.words.push({ ...word, atMs: performance.now() }));
  }

  /** What was sent so far, 24 kHz, as whole numbers of 16 bits. */
  sent(): string {
    return this.#sent.map(toText).join();
  }

  get sentSeconds(): number {
    return this.#sent.reduce((sum, pcm) => sum + pcm.length, 0) / 24_000;
  }

  forget(): void {
    this.#sent = [];
  }

  /** The model speaks in real time, a frame every 80 ms; a word by the number of the frame it comes after. */
  async speak(samples: number[], words: Record<number, string> = {}): Promise<void> {
    const pcm = Float32Array.from(samples, (sample) => sample / 0x7fff);
    const begin = performance.now();
    for (let n = 0; n * FRAME < pcm.length; n++) {
      this.#listeners.get('audio')?.({ pcm: pcm.slice(n * FRAME, (n + 1) * FRAME), time: this.#time } as never);
      this.#time += FRAME / 24_000;
      if (words[n]) this.#listeners.get('text')?.({ text: words[n], time: this.#time } as never);
      await wait(begin + (n + 1) * 80 - performance.now());
    }
  }
}

const own = new SoundPage({});
Object.assign(globalThis, { Sound: SoundPage, pause: wait, sound: own, devices: listDevices });

// Everything Playwright does counts as done by the user: what happens without one has to happen by itself.
if (location.hash === '#speaker') {
  await own.speaker.start();
  await own.speak(new Array(12_000).fill(1000));
  console.log(`${own.speaker.state.status}, ${own.speaker.playout.playedSeconds} s`);
}

export type SoundInPage = SoundPage;
