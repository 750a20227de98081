import type { ConnectOptions } from '@moshi/client';
import { afterEach, expect, it } from 'vitest';
import { closeServers, type Script, scriptedServer } from '../../client/test/support/server';
import { kyutaiPython, kyutaiRust, moshiServerLm, personaPlex } from '../../client/test/support/stock-servers';
import { describeInChromium, wantsAll } from '../support/browser';
import { Conversation, speech } from '../support/conversation';
import { expectEveryWord } from '../support/expect-words';

type Served = [string, () => Script, ConnectOptions];

const servers: Served[] = [
  ['Kyutai’s Python server', kyutaiPython, { dialect: 'moshi' }],
  ['Kyutai’s Rust server', kyutaiRust, { dialect: 'moshi-rust' }],
  ['PersonaPlex', () => personaPlex(), { dialect: 'personaplex', voice: 'NATF0', prompt: 'You are kind.' }],
  ['moshi-server', moshiServerLm, { dialect: 'moshi-server' }],
  ...(wantsAll ? [['a server of an unknown family', kyutaiPython, {}] satisfies Served] : []),
];

describeInChromium('the client in Chromium with', () => {
  let conversation: Conversation;
  afterEach(async () => {
    await conversation?.close();
    await closeServers();
  });

  it.each(servers)('%s', async (_name, script, connect) => {
    const stock = await scriptedServer(script());
    conversation = await Conversation.open({ says: await speech(0, 3.5) });
    await conversation.talk({ connect, url: stock.url });
    await conversation.spoken();
    expectEveryWord(conversation.sound());
    const { texts, words } = await conversation.page.evaluate(() => ({ texts: loop.texts, words: loop.words }));
    expect(texts.join('').trim()).not.toBe('');
    // What is shown was heard, in the order in which it came.
    expect(texts.join('').trim().split(/\s+/).slice(0, words.length)).toEqual(words.map((word) => word.trim()));
    expect(words.length).toBeGreaterThan(0);
    expect(stock.violations).toEqual([]);
    expect(conversation.problems).toEqual([]);
  });
});
