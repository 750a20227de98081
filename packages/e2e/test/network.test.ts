import { afterEach, expect, it } from 'vitest';
import { describeInChromium, wantsAll } from '../support/browser';
import { Conversation } from '../support/conversation';
import { expectEveryWord } from '../support/expect-words';
import { speechSeconds } from '../support/words';

/** In the middle of the third sentence of what is said. */
const MID_WORD_MS = 3000;
/** A gap may fall into a word, which then differs from what was said; and what waited for the network is heard later. */
const WITH_GAPS = { likeness: 0.5, maxLagMs: 2500 };

describeInChromium('a conversation through a bad network', () => {
  let conversation: Conversation;
  afterEach(() => conversation?.close());

  it('loses nothing on a slow line whose delay changes', async () => {
    conversation = await Conversation.open();
    conversation.chaos.rate(50_000);
    conversation.chaos.latency(75, 40);
    await conversation.talk();
    await conversation.page.waitForTimeout(9000);
    expectEveryWord(conversation.sound(), WITH_GAPS);
    expect(await conversation.events('dropped')).toEqual([]);
  });

  it('loses no word to a stall of 300 ms', async () => {
    conversation = await Conversation.open();
    await conversation.talk();
    await conversation.page.waitForTimeout(MID_WORD_MS);
    conversation.chaos.stall(300);
    await conversation.page.waitForTimeout(6000);
    expectEveryWord(conversation.sound(), WITH_GAPS);
    expect(await conversation.events('dropped')).toEqual([]);
  });

  it('loses no word where pieces overtake each other, so that sound comes in bursts', async () => {
    conversation = await Conversation.open();
    conversation.chaos.reorder(150);
    await conversation.talk();
    await conversation.page.waitForTimeout(9000);
    // A word with a gap in it is much like another one that comes later.
    expectEveryWord(conversation.sound(), { ...WITH_GAPS, maxLagMs: 700 });
    expect(await conversation.events('dropped')).toEqual([]);
    // The first bursts come before the buffer has learned to wait for them.
    const { playout } = await conversation.page.evaluate(() => loop.session.metrics);
    expect(playout!.targetMs).toBeGreaterThan(150);
  });

  it('comes back to the moment after a stall of 3 s, and counts what it left out', async () => {
    conversation = await Conversation.open();
    await conversation.talk();
    const { page } = conversation;
    await page.waitForTimeout(2000);
    conversation.chaos.stall(3000);
    await page.waitForTimeout(3500);
    const after = conversation.sound().captured.length;
    await page.waitForTimeout(3500);
    const { captured, heard } = conversation.sound();
    // What is said from here on is heard, and not seconds later.
    expect(speechSeconds(captured.subarray(after))).toBeGreaterThan(0.5);
    expect(speechSeconds(heard.subarray(after))).toBeGreaterThan(0.5 * speechSeconds(captured.subarray(after)));
    const { droppedSeconds, playout } = await page.evaluate(() => loop.session.metrics);
    expect(droppedSeconds * 1000 + (playout?.droppedMs ?? 0) + (playout?.trimmedMs ?? 0)).toBeGreaterThan(500);
    expect(playout!.missedMs).toBeGreaterThan(1000);
    expect(await page.evaluate(() => loop.session.state.status)).toBe('ready');
  });

  it.each(wantsAll ? (['rst', 'fin'] as const) : (['rst'] as const))(
    'takes the conversation up again after a cut in mid-word (%s): every word once',
    async (how) => {
      conversation = await Conversation.open();
      await conversation.talk();
      await conversation.page.waitForTimeout(MID_WORD_MS);
      // Long enough that a word falls into it.
      conversation.chaos.refuse(true);
      conversation.chaos.cut(how);
      await conversation.page.waitForTimeout(400);
      conversation.chaos.refuse(false);
      const { data } = await conversation.event('resumed');
      expect(data).toMatchObject({ droppedMs: 0 });
      await conversation.page.waitForTimeout(6000);
      expectEveryWord(conversation.sound(), WITH_GAPS);
      expect(await conversation.events('new-conversation')).toEqual([]);
      expect(conversation.chaos.connections).toBeGreaterThan(1);
    },
  );

  it('is not disturbed by what an old connection still had to say', async () => {
    conversation = await Conversation.open();
    await conversation.talk({ connect: { idleTimeoutMs: 1500 } });
    await conversation.page.waitForTimeout(2000);
    conversation.chaos.holdOld(true);
    await conversation.event('resumed');
    await conversation.page.waitForTimeout(5500);
    const { heard, captured } = conversation.sound();
    expect(speechSeconds(heard) / speechSeconds(captured)).toBeLessThan(1.1);
    expect(await conversation.page.evaluate(() => loop.session.state.status)).toBe('ready');
    expect((await conversation.events('error')).map(({ data }) => (data as { code: string }).code)).toEqual([]);
  });

  it('begins a new conversation, and says so, when another server answers', async () => {
    conversation = await Conversation.open();
    await conversation.talk();
    await conversation.page.waitForTimeout(2500);
    await conversation.replaceServer();
    const { data } = await conversation.event('new-conversation');
    expect(data).toMatchObject({ reason: 'unknown' });
    const before = conversation.sound().heard.length;
    await conversation.page.waitForTimeout(3500);
    const { heard } = conversation.sound();
    expect(speechSeconds(heard.subarray(before))).toBeGreaterThan(0.5);
    expect(await conversation.events('resumed')).toEqual([]);
  });
});
