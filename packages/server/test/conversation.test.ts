import { OggOpusWriter } from '@moshi/protocol';
import { describe, expect, it } from 'vitest';
import { AudioInput } from '../src/session/audio-input';
import { Conversation, type ConversationHooks } from '../src/session/conversation';
import { Pipes } from '../src/session/pipe';
import { oggOpus } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { until } from './support/fixture';
import { tone } from './support/signals';

async function start(engine: FakeEngine, hooks: Partial<ConversationHooks> = {}, bufferedMs = 400) {
  const nothing = () => {};
  const input = new AudioInput();
  const failures: unknown[] = [];
  const conversation = await Conversation.open(engine, {}, input, bufferedMs, {
    canSend: () => true,
    read: nothing,
    pipes: new Pipes(),
    speaking: () => false,
    pushed: nothing,
    sound: nothing,
    text: nothing,
    stepped: nothing,
    said: nothing,
    broken: nothing,
    broke: (error) => failures.push(error),
    failed: (error) => failures.push(error),
    ...hooks,
  });
  conversation.start();
  return { conversation, input, failures, fake: engine.opened.at(-1)! };
}

/** Pages of a second of silence each. */
function silence(seconds: number): Uint8Array {
  const writer = new OggOpusWriter();
  const parts = [writer.header()];
  const packets = Array.from({ length: 50 }, () => Uint8Array.of(0x48));
  for (let second = 0; second < seconds; second++) parts.push(writer.page(packets));
  return Buffer.concat(parts);
}

describe('Conversation', () => {
  it('holds no more decoded audio than the limit and one page', async () => {
    const reading: boolean[] = [];
    const { conversation, input, fake } = await start(new FakeEngine({ auto: false }), {
      read: (on) => reading.push(on),
    });
    conversation.write(Buffer.concat(await oggOpus(tone(125, 300))));
    expect(input.frames + fake.queued).toBe(5);
    expect(conversation.full).toBe(true);
    for (let answered = 0; answered < 125; answered++) {
      expect(fake.queued).toBeGreaterThan(0);
      expect(input.frames + fake.queued).toBeLessThanOrEqual(5);
      fake.step();
    }
    expect(fake.pushed).toHaveLength(125);
    expect(reading).toEqual([false, true]);
    expect(conversation.full).toBe(false);
  });

  it('is not driven into the ground by an engine that answers inside push', async () => {
    const engine = new FakeEngine({ auto: false, script: () => ({ pcm: null }) });
    const { conversation, failures, fake } = await start(engine);
    const push = fake.push.bind(fake);
    fake.push = (pcm) => {
      push(pcm);
      fake.step();
    };
    conversation.write(silence(300));
    await until(() => fake.pushed.length === 300 * 12.5 || failures.length > 0);
    expect(failures).toEqual([]);
  });

  it('steps nothing while the client takes nothing', async () => {
    let canSend = false;
    const { conversation, fake } = await start(new FakeEngine({ auto: false }), { canSend: () => canSend });
    conversation.write(silence(4));
    expect(fake.pushed).toEqual([]);
    expect(conversation.full).toBe(true);
    canSend = true;
    conversation.pump();
    expect(fake.pushed).toHaveLength(3);
  });

  it('hands an engine that throws in push to its host', async () => {
    const { conversation, failures, fake } = await start(new FakeEngine());
    fake.push = () => {
      throw new Error('no more memory');
    };
    conversation.write(silence(1));
    expect(failures).toMatchObject([{ message: 'no more memory' }]);
  });

  it('is over when closed: no frames, no errors, any number of times', async () => {
    let answers = 0;
    const { conversation, fake, input } = await start(new FakeEngine({ auto: false }), { stepped: () => answers++ });
    conversation.write(silence(1));
    fake.step();
    const closing = conversation.close();
    fake.step();
    await closing;
    await conversation.close();
    expect(answers).toBe(1);
    expect(fake.closed).toBe(true);
    expect(fake.eventNames().filter((name) => fake.listenerCount(name) > 0)).toEqual([]);
    conversation.write(silence(1));
    expect(input.backlog).toBe(false);
  });
});
