import { loopbackEngine } from '@moshi/server';
import { afterEach, expect, it } from 'vitest';
import { describeInChromium } from '../support/browser';
import { Conversation, RAW } from '../support/conversation';
import { slowEngine } from '../support/slow-engine';
import { speechSeconds } from '../support/words';

describeInChromium('a server with little to give', () => {
  let conversation: Conversation;
  afterEach(() => conversation?.close());

  it('lets a second page wait, tells it its place, and lets it in when the first one leaves', async () => {
    conversation = await Conversation.open({ engine: loopbackEngine({ slots: 1 }) });
    await conversation.talk();
    const second = await conversation.page.context().newPage();
    await second.goto(conversation.host.url);
    await second.evaluate(() => void loop.connect());
    await second.waitForFunction(() =>
      loop.events.some(
        ({ name, data }) => name === 'waiting' && data && (data as { position?: number }).position === 1,
      ),
    );
    await conversation.page.close();
    await second.waitForFunction(() =>
      loop.events.some(({ data }) => (data as { status?: string } | null)?.status === 'ready'),
    );
    await second.evaluate((raw) => loop.talk(raw), RAW as never);
    await second.waitForFunction(() => loop.session.metrics.playout!.playedSeconds > 1);
  });

  it('says when its engine does not keep up', async () => {
    conversation = await Conversation.open({ engine: slowEngine() });
    await conversation.talk();
    const { data } = await conversation.event('behind');
    expect((data as { ms: number }).ms).toBeGreaterThan(400);
    expect(speechSeconds(conversation.sound().heard)).toBeGreaterThan(0);
  });
});
