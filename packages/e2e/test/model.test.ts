import { type Engine, loadEngine } from '@moshi/engine-cuda';
import { rms } from '@moshi/protocol/audio';
import { afterEach, expect, it } from 'vitest';
import { describeInChromium } from '../support/browser';
import { Conversation } from '../support/conversation';

describeInChromium('a conversation with the embedded model', () => {
  let conversation: Conversation;
  let engine: Engine;
  afterEach(async () => {
    await conversation?.close();
    await engine?.close();
  });

  it('is heard, and its words light up', async () => {
    engine = await loadEngine();
    conversation = await Conversation.open({ engine });
    // Without padding it babbles from the first frame on.
    await conversation.talk({ connect: { seed: 7, padMult: -5 } });
    await conversation.page.waitForFunction(
      () => loop.words.length > 3 && loop.session.metrics.playout!.playedSeconds > 4,
    );
    const { heard } = conversation.sound();
    expect(rms(heard)).toBeGreaterThan(1e-3);
    expect(conversation.problems).toEqual([]);
  });
});
