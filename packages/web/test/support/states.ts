import type { Page } from 'playwright-core';

/** The handle of `fake-client.ts`, as far as states move it. */
export interface Fake {
  readonly url: string;
  hold: boolean;
  open(): void;
  options: { on: Record<string, (event: unknown) => void> };
  session: {
    readonly said: readonly string[];
    readonly interrupted: number;
    emit(name: string, event?: unknown): void;
    speaker: Side;
    microphone: Side;
  };
}
interface Side {
  readonly muted: boolean;
  readonly options: unknown;
  loudness: number;
  level: number;
  playout: unknown;
  emit(name: string, event?: unknown): void;
}

/** A state of the page that somebody may find himself in. */
export interface State {
  readonly name: string;
  readonly path?: string;
  /** Of the fake client, before the page begins. */
  readonly start?: object;
  /** Takes the page there, from just opened. */
  enter?(page: Page): Promise<void>;
}

const spoken =
  ' Hello! I am Moshi. Jupiter is so big that all the other planets would fit into it, and it would still have room. Would you like to know';
const coming = ' why it has a red spot?';

/** Begins a call and lets the model say something. */
async function talk(page: Page): Promise<void> {
  await page.getByRole('button', { name: /^(Talk|Start)/ }).click();
  await page.getByText(/^Live/).waitFor();
  await page.evaluate(
    ([heard, rest]) => {
      const { session } = (globalThis as unknown as { fake: Fake }).fake;
      const words = `${heard}${rest}`.split(/(?= )/);
      words.forEach((text, i) => {
        session.emit('text', { text, time: i * 0.3 });
      });
      session.speaker.emit('word', { text: '', time: (heard!.split(' ').length - 2) * 0.3 });
      const playout = { bufferedMs: 92, targetMs: 90, missedMs: 0, droppedMs: 0, trimmedMs: 20, underruns: 0 };
      session.speaker.playout = playout;
      session.emit('metrics', {
        ...{ roundTripMs: 318.4, timeToFirstAudioMs: 241.7, audioSentSeconds: 34.1, audioReceivedSeconds: 33.8 },
        ...{ missedAudioSeconds: 0, droppedSeconds: 0, bufferedMs: 0, messagesSent: 853, messagesReceived: 1020 },
        ...{ audioMessages: 845, textMessages: 98, lostPackets: 0 },
      });
      Object.assign(session.speaker, { loudness: 235, level: 0.72 });
      Object.assign(session.microphone, { loudness: 150, level: 0.31 });
    },
    [spoken, coming] as const,
  );
}

const emit = (page: Page, name: string, event?: unknown) =>
  page.evaluate(([what, data]) => (globalThis as unknown as { fake: Fake }).fake.session.emit(what as string, data), [
    name,
    event,
  ] as const);

const press = (page: Page) => page.getByRole('button', { name: /^Talk/ }).click();

export const states: readonly State[] = [
  { name: 'ready' },
  {
    name: 'waiting',
    start: { hold: true },
    enter: async (page) => {
      await press(page);
      await page.waitForFunction(() => (globalThis as unknown as { fake: Fake }).fake.options !== undefined);
      await page.evaluate(() => (globalThis as unknown as { fake: Fake }).fake.options.on.waiting!({ position: 2 }));
    },
  },
  { name: 'live', enter: talk },
  {
    name: 'muted-recording',
    enter: async (page) => {
      await talk(page);
      await page.getByRole('button', { name: 'Mute' }).click();
      await page.getByRole('button', { name: 'Record' }).click();
      await page.getByText('All figures').click();
    },
  },
  {
    name: 'behind',
    enter: async (page) => {
      await talk(page);
      await emit(page, 'behind', { ms: 2400 });
    },
  },
  {
    name: 'reconnecting',
    enter: async (page) => {
      await talk(page);
      await emit(page, 'state', { status: 'reconnecting', attempt: 1 });
    },
  },
  {
    name: 'new-conversation',
    enter: async (page) => {
      await talk(page);
      await emit(page, 'new-conversation', { awayMs: 4000, reason: 'unknown' });
    },
  },
  { name: 'blocked', start: { blocked: true }, enter: talk },
  {
    name: 'refused-microphone',
    start: { startFailure: { code: 'permission-denied', message: 'refused' } },
    enter: async (page) => {
      // The loudspeaker is started first: the failure stands for whichever device refuses.
      await press(page);
      await page.getByText('The microphone was refused').waitFor();
    },
  },
  {
    name: 'unreachable',
    start: {
      failure: {
        code: 'unreachable',
        message: 'cannot reach ws://localhost:8998/api/chat: is a server running there?',
      },
    },
    enter: async (page) => {
      await press(page);
      await page.getByText('The server does not answer').waitFor();
    },
  },
  { name: 'key', start: { voicesRefused: true }, enter: async (page) => page.getByLabel('Key').waitFor() },
  { name: 'foreign-server', path: '/?worker_addr=gpu.example.com:8998' },
  {
    name: 'settings',
    enter: async (page) => {
      await page.getByRole('button', { name: 'Settings', exact: true }).click();
      await page.getByRole('dialog').waitFor();
    },
  },
  { name: 'text-mode', path: '/test-voice' },
  {
    name: 'text-mode-live',
    path: '/test-voice',
    enter: async (page) => {
      await page.getByLabel('Text for Moshi to say').fill('Jupiter is the largest planet.');
      await page.keyboard.press('Enter');
      await page.getByText(/^Live/).waitFor();
      await emit(page, 'text', { text: ' Jupiter is the', time: 0.5 });
      await emit(page, 'text', { text: ' largest planet.', time: 1.5 });
      await page.evaluate(() =>
        (globalThis as unknown as { fake: Fake }).fake.session.speaker.emit('word', { text: 'the', time: 1 }),
      );
    },
  },
];

/** Opens the page in a state. */
export async function show(page: Page, url: string, state: State): Promise<void> {
  await page.addInitScript((start) => {
    Object.assign(globalThis, { fakeStart: start });
  }, state.start ?? {});
  await page.goto(url + (state.path ?? '/'));
  await page.getByRole('heading', { level: 1 }).waitFor();
  await state.enter?.(page);
}
