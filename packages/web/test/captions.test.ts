import { describe, expect, it } from 'vitest';
import { addLine, addPiece, type Captions, hearUntil, noCaptions, skipComing } from '../src/state/captions';

const say = (pieces: readonly (readonly [text: string, time: number])[], from: Captions = noCaptions) =>
  pieces.reduce((captions, [text, time]) => addPiece(captions, { text, time }), from);

/** Lines as text, heard words in capitals and skipped ones in brackets. */
const shown = ({ lines }: Captions) =>
  lines.map((line) => {
    if (line.who !== 'model') return `${line.who}: ${line.text}`;
    return line.words
      .map(({ text, state }) => ({ coming: text, heard: text.toUpperCase(), skipped: `(${text})` })[state])
      .join(' ');
  });

describe('captions', () => {
  it('put words together from pieces', () => {
    const captions = say([
      [' Hel', 0],
      ['lo', 0.1],
      [',', 0.2],
      [' you two', 0.3],
    ]);
    expect(shown(captions)).toEqual(['hello, you two'.replace('h', 'H')]);
  });

  it('light up what was heard, and nothing else', () => {
    const captions = say([
      [' one', 1],
      [' two', 2],
      [' three', 3],
    ]);
    expect(shown(hearUntil(captions, 0.9))).toEqual(['one two three']);
    expect(shown(hearUntil(captions, 2))).toEqual(['ONE TWO three']);
    expect(hearUntil(captions, 0.9)).toBe(captions);
  });

  it('keep a word heard when its rest comes later', () => {
    const captions = hearUntil(say([[' Mo', 1]]), 1);
    expect(shown(say([['shi', 1.1]], captions))).toEqual(['MOSHI']);
  });

  it('begin a new line after a pause, and after a full stop in a long line', () => {
    expect(
      shown(
        say([
          [' one', 1],
          [' two', 2.5],
          [' three', 4.2],
        ]),
      ),
    ).toEqual(['one two', 'three']);
    const long = Array.from({ length: 80 }, (_, i) => [` w${i}${i % 10 === 9 ? '.' : ''}`, i / 10] as const);
    const lines = shown(say(long));
    expect(lines.length).toBe(2);
    expect(lines[0]).toMatch(/\.$/);
  });

  it('never break a word over two lines', () => {
    expect(
      shown(
        say([
          [' inter', 1],
          ['rupted', 9],
        ]),
      ),
    ).toEqual(['interrupted']);
  });

  it('strike out what an interruption kept from being heard, for good', () => {
    const captions = skipComing(
      hearUntil(
        say([
          [' one', 1],
          [' two', 2],
        ]),
        1,
      ),
    );
    expect(shown(captions)).toEqual(['ONE (two)']);
    expect(shown(hearUntil(captions, 9))).toEqual(['ONE (two)']);
  });

  it('hold what was typed, and go on below it', () => {
    const captions = say([[' there', 2]], addLine(say([[' hello', 1]]), 'you', 'Say this'));
    expect(shown(captions)).toEqual(['hello', 'you: Say this', 'there']);
    expect(new Set(captions.lines.map(({ id }) => id)).size).toBe(3);
  });

  it('are read out by the sentence, once it was heard', () => {
    const captions = say([
      [' Hi', 1],
      [' there.', 2],
      [' How', 3],
    ]);
    expect(captions.sentence).toBe('');
    expect(hearUntil(captions, 1).sentence).toBe('');
    expect(hearUntil(hearUntil(captions, 1), 2).sentence).toBe('Hi there.');
    const cut = skipComing(hearUntil(captions, 3));
    expect(cut.sentence).toBe('How');
  });

  it('are read out also when there is no full stop', () => {
    const endless = say(Array.from({ length: 30 }, (_, i) => [` w${i}`, i] as const));
    expect(hearUntil(endless, 29).sentence).not.toBe('');
  });

  it('stay bounded in a conversation of hours', () => {
    let captions = noCaptions;
    for (let i = 0; i < 1000; i++) captions = say([[' word', i * 10]], captions);
    expect(captions.lines.length).toBe(200);
  });
});
