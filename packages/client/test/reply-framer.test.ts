import { describe, expect, it } from 'vitest';
import { ReplyFramer } from '../src/remote/reply-framer';

function framer() {
  const log: unknown[] = [];
  const made = new ReplyFramer({
    frame: ({ step, pcm, text }) => log.push([step, pcm?.length ?? null, text]),
    say: ({ type, id, text }) => log.push(`${type} ${id} ${text}`),
  });
  return {
    made,
    log,
    sound: (samples = 1920) => made.audio(new Float32Array(samples)),
    start: (id: number) => made.say({ type: 'start', id, text: 'all' }),
    word: (id: number, text: string) => made.say({ type: 'word', id, text }),
    end: (id: number) => made.say({ type: 'end', id, text: 'all', completed: true }),
  };
}

describe('ReplyFramer', () => {
  it('cuts packets of 20, 40 and 80 ms, and of any other length', () => {
    const { log, sound } = framer();
    for (const samples of [480, 480, 960, 960, 960, 1920, 100, 3740, 1919]) sound(samples);
    expect(log).toEqual([0, 1, 2, 3, 4].map((step) => [step, 1920, null]));
  });

  it('keeps the samples in order, within [-1, 1]', () => {
    const heard: number[] = [];
    const made = new ReplyFramer({ frame: ({ pcm }) => heard.push(...pcm!), say: () => {} });
    const input = Float32Array.from({ length: 3840 }, (_, i) => (i / 3840) * 2.4 - 1.2);
    for (let at = 0; at < input.length; at += 640) made.audio(input.subarray(at, at + 640));
    expect(heard).toEqual([...input].map((sample) => Math.max(-1, Math.min(1, sample))));
    expect(input[0]).toBeCloseTo(-1.2);
  });

  it('lets text ride on the next frame', () => {
    const { made, log, sound } = framer();
    made.text(' a');
    sound();
    made.text(' b');
    made.text('c');
    expect(made.waitingText).toBe(3);
    sound();
    sound();
    expect(log).toEqual([
      [0, 1920, ' a'],
      [1, 1920, ' bc'],
      [2, 1920, null],
    ]);
    expect(made.frames).toBe(3);
  });

  it('tells a word just before the frame with its text, whether the server sends text or sound first', () => {
    const soundFirst = framer();
    soundFirst.made.text(' before');
    soundFirst.start(1);
    soundFirst.word(1, 'a');
    soundFirst.sound();
    soundFirst.made.text(' a');
    soundFirst.end(1);
    soundFirst.start(2);
    soundFirst.word(2, 'b');
    soundFirst.sound();
    soundFirst.made.text(' b');
    soundFirst.end(2);
    soundFirst.sound();
    const textFirst = framer();
    textFirst.start(1);
    textFirst.word(1, 'a');
    textFirst.made.text(' a');
    textFirst.sound();
    textFirst.end(1);
    textFirst.start(2);
    textFirst.word(2, 'b');
    textFirst.made.text(' b');
    textFirst.sound();
    textFirst.end(2);
    const after = (step: number) => [
      ...['start 1 all', 'word 1 a', [step, 1920, ' a'], 'end 1 all'],
      ...['start 2 all', 'word 2 b', [step + 1, 1920, ' b'], 'end 2 all'],
    ];
    expect(soundFirst.log).toEqual([[0, 1920, ' before'], ...after(1)]);
    expect(textFirst.log).toEqual(after(0));
  });

  it('tells an end at once when nothing waits, and never before its own words', () => {
    const { log, sound, start, word, end } = framer();
    end(1);
    start(2);
    word(2, 'a');
    end(2);
    expect(log).toEqual(['end 1 all']);
    sound();
    // The word may still have its text to come: one frame later is soon enough.
    expect(log.slice(1)).toEqual([[0, 1920, null]]);
    sound();
    expect(log.slice(2)).toEqual(['start 2 all', 'word 2 a', [1, 1920, null], 'end 2 all']);
  });

  it('loses nothing at the end', () => {
    const text = framer();
    text.word(1, 'a');
    text.made.text(' a');
    text.end(1);
    text.made.flush();
    expect(text.log).toEqual(['word 1 a', [0, null, ' a'], 'end 1 all']);
    const sound = framer();
    sound.sound(100);
    sound.made.text(' a');
    sound.made.flush();
    sound.made.flush();
    expect(sound.log).toEqual([[0, 1920, ' a']]);
  });

  it('begins anew without what belongs to the past, save the ends', () => {
    const { made, log, sound, start, end } = framer();
    sound(2000);
    made.text(' a');
    end(1);
    start(2);
    made.reset();
    expect(log.splice(0)).toEqual([[0, 1920, null], 'end 1 all']);
    sound();
    expect(log).toEqual([[0, 1920, null]]);
  });
});
