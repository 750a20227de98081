import { OggOpusReader, OggPageReader } from '@moshi/protocol';
import { describe, expect, it } from 'vitest';
import { oggPageBytes } from '../src/session/ogg-page';
import { FakeEngine } from './support/fake-engine';
import { nextSession, serve, state, until } from './support/fixture';
import { strength } from './support/signals';
import { type PageKind, pageUrl, recorderPages, WebPage } from './support/web-page';

const kinds: PageKind[] = ['kyutai', 'personaplex'];
const voices = [
  ...['NATF0', 'NATF1', 'NATF2', 'NATF3', 'NATM0', 'NATM1', 'NATM2', 'NATM3'],
  ...['VARF0', 'VARF1', 'VARF2', 'VARF3', 'VARF4', 'VARM0', 'VARM1', 'VARM2', 'VARM3', 'VARM4'],
];
const sampling = {
  textTemperature: 0.7,
  textTopK: 25,
  audioTemperature: 0.8,
  audioTopK: 250,
  padMult: 0,
  textSeed: 112_233,
  audioSeed: 445_566,
  repetitionPenaltyContext: 64,
  repetitionPenalty: 1,
};
const teacher = 'You are a wise and friendly teacher. Answer questions or provide advice in a clear and engaging way.';

/** Says back what it hears, with a word a frame. */
const echo = (slots = 1) => new FakeEngine({ slots, voices, script: (n, pcm) => ({ pcm, text: ` ${n}` }) });

/** The same recording as another one of the page: another serial, checksums to match. */
function rerecorded(pages: readonly Uint8Array[]): Uint8Array[] {
  const reader = new OggPageReader();
  return pages.flatMap((bytes) => reader.push(bytes)).map((page) => oggPageBytes({ ...page, serial: 4711 }));
}

describe('the recording the tests send', () => {
  it('is of the pages’ shape', () => {
    const pages = recorderPages();
    const reader = new OggPageReader();
    const read = pages.flatMap((bytes) => reader.push(bytes));
    expect(read.map(({ sequence }) => sequence)).toEqual(pages.map((_, i) => i));
    expect(reader.stats).toMatchObject({ badCrc: 0, skippedBytes: 0 });
    expect(read.map(({ segments }) => segments.length)).toEqual([1, 1, ...Array<number>(50).fill(2), 0]);
    expect(read.at(-1)).toMatchObject({ eos: true, granule: -1n });
  });
});

describe('the address', () => {
  it('of Kyutai’s page is taken, in vision mode and behind a queue too', async () => {
    const engine = echo(3);
    const server = await serve({ engine });
    expect(new URL(pageUrl('kyutai', server)).search).toBe(
      '?text_temperature=0.7&text_topk=25&audio_temperature=0.8&audio_topk=250&pad_mult=0&text_seed=112233' +
        '&audio_seed=445566&repetition_penalty_context=64&repetition_penalty=1',
    );
    await WebPage.connected('kyutai', server);
    await WebPage.connected('kyutai', server, { imageUrl: '/assets/images/demo/image1.jpg' });
    await WebPage.connected('kyutai', server, { workerAuthId: 'a+b/c=', email: 'me+you@example.com' });
    expect(engine.asked).toEqual([sampling, sampling, sampling]);
  });

  it('of PersonaPlex’s page gives each caller its voice and role', async () => {
    const engine = echo(voices.length);
    const server = await serve({ engine });
    expect(new URL(pageUrl('personaplex', server)).search).toBe(
      '?text_temperature=0.7&text_topk=25&audio_temperature=0.8&audio_topk=250&pad_mult=0&text_seed=112233' +
        '&audio_seed=445566&repetition_penalty_context=64&repetition_penalty=1' +
        `&text_prompt=${teacher.replaceAll(' ', '+')}&voice_prompt=NATF0.pt`,
    );
    // The box takes 1000 characters.
    const roles = [
      teacher,
      "You work for Dr. Jones's office. The transaction for $1,200 was 100% declined; 2 + 2 = 4 & more?",
      '語'.repeat(1000),
    ];
    const callers = voices.map((voice, i) => ({ voicePrompt: `${voice}.pt`, textPrompt: roles[i % 3]! }));
    await Promise.all(callers.map((caller) => WebPage.connected('personaplex', server, caller)));
    const byVoice = engine.asked.toSorted((a, b) => (a.voice! < b.voice! ? -1 : 1));
    expect(byVoice).toEqual(
      callers.map(({ voicePrompt, textPrompt }) => ({ ...sampling, voice: voicePrompt, prompt: textPrompt })),
    );
  });
});

describe.each(kinds)('the %s page', (kind) => {
  it('talks: its recorder is understood, its decoder understands', async () => {
    const engine = echo();
    const server = await serve({ engine });
    const started = nextSession(server);
    const page = await WebPage.connected(kind, server);
    const session = await started;
    const heard: Float32Array[] = [];
    session.on('inputAudio', (pcm) => heard.push(pcm));
    for (const message of recorderPages()) page.recorded(message);
    await page.until(() => page.texts.length === 25);
    expect(page.faults).toEqual([]);
    expect([page.errors, page.metadata]).toEqual([[], []]);
    expect(page.texts.join('')).toBe(Array.from({ length: 25 }, (_, i) => ` ${i}`).join(''));
    // 2 s are 25 frames of the model, 50 packets of the server's 40 ms.
    expect(session.stats).toMatchObject({ framesIn: 25, framesOut: 25, droppedPages: 0, brokenAudio: 0 });
    expect(session.stats.ignoredMessages).toBe(0);
    expect(strength(heard[12]!, 300)).toBeCloseTo(0.4, 1);
    expect(page.packets).toEqual(
      page.audio.flatMap(
        (
          (reader) => (data) =>
            reader.push(data)
        )(new OggOpusReader()),
      ),
    );
    expect(page.packets).toHaveLength(50);
    // The worker has room for 4000 bytes a packet.
    expect(Math.max(...page.packets.map(({ length }) => length))).toBeLessThan(4000);
  });

  it('leaves, and the next one has the slot', async () => {
    const engine = echo();
    const server = await serve({ engine });
    const started = nextSession(server);
    const page = await WebPage.connected(kind, server);
    const session = await started;
    for (const message of recorderPages()) page.recorded(message);
    page.stop();
    await state(session, 'closed');
    expect(session.state).toMatchObject({ code: 1005 });
    await WebPage.connected(kind, server);
    expect(page.faults).toEqual([]);
  });

  it('may connect again before it is connected, as React does', async () => {
    let open!: () => void;
    const opening = new Promise<void>((resolve) => {
      open = resolve;
    });
    const engine = new FakeEngine({ voices, opening: () => opening });
    const server = await serve({ engine });
    const page = new WebPage(kind, server);
    page.start();
    page.start();
    await until(() => engine.asked.length === 1);
    page.stop();
    page.start();
    open();
    await page.until(() => page.status === 'connected');
    for (const message of recorderPages().slice(0, 12)) page.recorded(message);
    await page.until(() => page.audio.length >= 3);
    expect([page.faults, page.errors]).toEqual([[], []]);
    expect(server.sessions.size).toBe(1);
  });

  it('may start its recorder anew in the middle of a conversation', async () => {
    const server = await serve({ engine: echo() });
    const started = nextSession(server);
    const page = await WebPage.connected(kind, server);
    const session = await started;
    // Stopping cuts a frame short now and then, with and without the last page.
    for (const message of recorderPages().slice(0, 22)) page.recorded(message);
    for (const message of rerecorded(recorderPages())) page.recorded(message);
    for (const message of recorderPages()) page.recorded(message);
    await page.until(() => page.texts.length === 60);
    expect(session.stats).toMatchObject({ framesIn: 60, brokenAudio: 0, ignoredMessages: 0 });
    expect([page.faults, page.errors]).toEqual([[], []]);
  });

  it('is told what is wrong in a way it can read', async () => {
    const busy = echo();
    const server = await serve({ engine: busy, limits: { waiting: 0 } });
    await WebPage.connected(kind, server);
    const late = new WebPage(kind, server);
    late.start();
    expect(await late.over()).toEqual({ code: 1013, reason: 'server full' });
    expect(late.errors).toEqual([expect.stringMatching(/try again later/)]);
    busy.opened[0]!.emit('error', new Error('out of memory'));
    await until(() => busy.active === 0);
    if (kind === 'personaplex') {
      const stranger = new WebPage(kind, server, { voicePrompt: 'NATF9.pt' });
      stranger.start();
      expect(await stranger.over()).toEqual({ code: 1008, reason: 'bad option' });
      expect(stranger.errors).toEqual([expect.stringMatching(/"NATF9.pt".*NATF0, NATF1.*VARM4/)]);
      expect(stranger.faults).toEqual([]);
    }
    expect([late.faults, late.status]).toEqual([[], 'disconnected']);
    await WebPage.connected(kind, server);
  });

  it('never sees a message of ours, whatever the host does', async () => {
    const engine = new FakeEngine({ voices, speaks: true });
    const server = await serve({ engine });
    const started = nextSession(server);
    const page = await WebPage.connected(kind, server);
    const waiting = new WebPage(kind, server);
    waiting.start();
    const session = await started;
    await until(() => server.readiness.waiting === 1);
    session.sendEvent('agent', { busy: true });
    await session.restart();
    expect(await session.say('Good morning.')).toEqual({ text: 'Good morning.', completed: true });
    await page.until(() => page.texts.length === 2);
    expect(page.texts.join('')).toBe(' Good morning.');
    page.stop();
    await waiting.until(() => waiting.status === 'connected');
    expect([page.faults, page.metadata, waiting.faults, waiting.metadata]).toEqual([[], [], [], []]);
  });
});
