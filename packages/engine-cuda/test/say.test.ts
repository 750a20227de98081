import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Engine,
  type EngineFrame,
  type EngineSayEvent,
  type EngineSession,
  type EngineSessionOptions,
  loadEngine,
} from '../src';
import { speech } from './support/audio';

let engine: Engine;
beforeAll(async () => {
  engine = await loadEngine({ slots: 4 });
});
afterAll(() => engine.close());

/** A session with everything it tells, in order: text pieces as strings, say events as objects. */
class Stage {
  readonly told: (string | EngineSayEvent)[] = [];
  readonly session: EngineSession;
  #frames = 0;
  #wake: () => void = () => {};

  constructor(session: EngineSession) {
    this.session = session;
    session.on('say', (event) => this.told.push(event));
    session.on('frame', ({ text }: EngineFrame) => {
      if (text) this.told.push(text);
      this.#frames++;
      this.#wake();
    });
  }

  static async open(options: EngineSessionOptions = {}): Promise<Stage> {
    return new Stage(await engine.open({ seed: 5, ...options }));
  }

  /** Steps so many frames of speech. */
  async step(frames: number): Promise<void> {
    const until = this.#frames + frames;
    this.session.push(speech(frames));
    while (this.#frames < until) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** Steps until the text with this number has ended. */
  async ended(id: number): Promise<EngineSayEvent> {
    for (;;) {
      const end = this.told.find((one) => typeof one !== 'string' && one.type === 'end' && one.id === id);
      if (end) return end as EngineSayEvent;
      await this.step(5);
    }
  }

  /** The text told between the start and the end of a text. */
  between(id: number): string {
    const is = (type: string) => (one: string | EngineSayEvent) =>
      typeof one !== 'string' && one.id === id && one.type === type;
    return this.told
      .slice(this.told.findIndex(is('start')), this.told.findIndex(is('end')))
      .filter((one) => typeof one === 'string')
      .join('');
  }
}

describe('say', () => {
  it('speaks exactly the text, also while the user talks, with an event a word', async () => {
    const stage = await Stage.open();
    await stage.step(10);
    const text = 'Your order has shipped, and it arrives on Monday.';
    const id = stage.session.say(text);
    expect(await stage.ended(id)).toEqual({ type: 'end', id, text, completed: true });
    expect(stage.between(id)).toBe(` ${text}`);
    const words = stage.told.filter((one) => typeof one !== 'string' && one.type === 'word');
    expect(words.map((one) => (one as EngineSayEvent).text)).toEqual(text.split(' '));
    await stage.step(20);
    expect(stage.told.slice(-5).some((one) => typeof one === 'string')).toBe(true);
    await stage.session.close();
  });

  it('is heard: the sound differs from that of the same conversation without it', async () => {
    const sound = async (text?: string) => {
      const session = await engine.open({ seed: 5 });
      if (text) session.say(text);
      const frames: EngineFrame[] = [];
      await new Promise<void>((resolve) => {
        session.on('frame', (frame) => frames.push(frame) === 20 && resolve());
        session.push(speech(20));
      });
      await session.close();
      return frames.map(({ pcm }) => pcm?.join()).join();
    };
    expect(await sound('hello')).not.toBe(await sound());
    expect(await sound('hello')).toBe(await sound('hello'));
  });

  it('queues texts, and takes them back', async () => {
    const stage = await Stage.open({ sayOnly: true });
    const [first, second, third] = ['one two three', 'never heard', 'the last'].map((text) => stage.session.say(text));
    stage.session.cancelSay(second);
    expect(await stage.ended(third!)).toMatchObject({ completed: true });
    expect(await stage.ended(second!)).toEqual({ type: 'end', id: second, text: '', completed: false });
    expect(await stage.ended(first!)).toMatchObject({ completed: true });
    expect(stage.told.filter((one) => typeof one === 'string').join('')).toBe(' one two three the last');
    await stage.session.close();
  });

  it('ends texts that were taken back though nothing is stepped', async () => {
    const { session } = await Stage.open();
    const ended = new Promise<EngineSayEvent>((resolve) => session.on('say', resolve));
    session.cancelSay(session.say('never heard'));
    expect(await ended).toMatchObject({ type: 'end', text: '', completed: false });
    await session.close();
  });

  it('stops inside a text without blanks', async () => {
    const stage = await Stage.open({ sayOnly: true });
    const id = stage.session.say('y'.repeat(500));
    while (stage.told.length < 20) await stage.step(1);
    stage.session.cancelSay();
    const { text, completed } = await stage.ended(id);
    expect(completed).toBe(false);
    expect(text).toMatch(/^y{10,60}$/);
    await stage.session.close();
  });

  it('takes runs of blanks for one', async () => {
    const stage = await Stage.open({ sayOnly: true });
    await stage.ended(stage.session.say(' has  shipped,\n\t now '));
    expect(stage.told.filter((one) => typeof one === 'string').join('')).toBe(' has shipped, now');
    await stage.session.close();
  });

  it('stops in the middle, and tells how far it came', async () => {
    const stage = await Stage.open({ sayOnly: true });
    const id = stage.session.say('one two three four five six seven eight nine ten');
    while (stage.told.filter((one) => typeof one !== 'string' && one.type === 'word').length < 3) await stage.step(1);
    stage.session.interrupt();
    const end = await stage.ended(id);
    expect(end.completed).toBe(false);
    expect(end.text).toMatch(/^one two three/);
    expect(end.text).not.toMatch(/eight/);
    expect(stage.between(id)).toBe(` ${end.text}`);
    await stage.session.close();
  });

  it('waits for the floor when asked to', async () => {
    const stage = await Stage.open();
    const waiting = stage.session.say('my turn', { floor: 'wait' });
    await stage.step(30);
    expect(stage.told.some((one) => typeof one !== 'string')).toBe(false);
    // The recording goes on and the untrained model never stops: ten seconds later it speaks all the same.
    expect(await stage.ended(waiting)).toMatchObject({ completed: true });
    await stage.session.close();
  });

  it('lets the model alone speak only what it is given', async () => {
    const stage = await Stage.open({ sayOnly: true });
    await stage.step(30);
    expect(stage.told).toEqual([]);
    await stage.session.close();
  });

  it('gives the model the turn', async () => {
    // Padding is so likely that the model alone would never begin.
    const stage = await Stage.open({ padMult: 100 });
    await stage.step(10);
    expect(stage.told).toEqual([]);
    stage.session.endTurn();
    await stage.step(5);
    expect(stage.told[0]).toMatch(/^ \S/);
    await stage.session.close();
  });

  it('forgets what waits at a reset, and says so', async () => {
    const stage = await Stage.open();
    const id = stage.session.say('one two three four five six seven');
    await stage.step(5);
    await stage.session.reset();
    expect(await stage.ended(id)).toMatchObject({ completed: false });
    const again = stage.session.say('again');
    expect(await stage.ended(again)).toMatchObject({ completed: true, text: 'again' });
    await stage.session.close();
  });

  it('refuses what cannot be said', async () => {
    const { session } = await Stage.open();
    const bad = expect.objectContaining({ code: 'ENGINE_BAD_OPTION' });
    expect(() => session.say('')).toThrowError(bad);
    expect(() => session.say(' \n\t ')).toThrowError(bad);
    expect(() => session.say('a'.repeat(10_001))).toThrowError(bad);
    expect(() => session.say(5 as never)).toThrowError(bad);
    expect(() => session.say('hello', { floor: 'mine' as never })).toThrowError(bad);
    for (let i = 0; i < 100; i++) session.say('hello');
    expect(() => session.say('one too many')).toThrowError(/100 texts are waiting/);
    await session.close();
    expect(() => session.say('hello')).toThrowError(expect.objectContaining({ code: 'ENGINE_CLOSED' }));
  });

  it('does not change what others hear', async () => {
    const alone = await Stage.open();
    await alone.step(20);
    const [one, other] = [await Stage.open(), await Stage.open()];
    other.session.say('quite another conversation');
    await Promise.all([one.step(20), other.step(20)]);
    expect(one.told).toEqual(alone.told);
    await Promise.all([alone, one, other].map(({ session }) => session.close()));
  });
});
