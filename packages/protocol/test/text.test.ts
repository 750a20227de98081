import { describe, expect, it } from 'vitest';
import { TextAssembler } from '../src/index';
import { Random, utf8 } from './helpers';

const spell = (text: string): string[] =>
  [...utf8(text)].map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);

function run(fragments: readonly string[]): string[] {
  const assembler = new TextAssembler();
  return [...fragments.map((fragment) => assembler.push(fragment)), assembler.flush()];
}

describe('TextAssembler', () => {
  it('passes ordinary text through at once, piece by piece', () => {
    const fragments = [' Hello', ',', '', ' wor', 'ld', ' a>b', ' 0x41>', '<x', ' é😀', '\ufeff'];
    expect(run(fragments)).toEqual([...fragments, '']);
  });

  it('gives a character with its last byte', () => {
    expect(run(spell('€'))).toEqual(['', '', '€', '']);
    expect(run(spell('😀a'))).toEqual(['', '', '', '😀', 'a', '']);
    expect(run(['<0x0A>'])).toEqual(['\n', '']);
    expect(run(['<0xe2><0x82><0xac>'])).toEqual(['€', '']);
  });

  it('keeps an empty fragment from breaking a character', () => {
    const [a, b, c] = spell('€') as [string, string, string];
    expect(run([a, '', b, '', c]).join('')).toBe('€');
  });

  it('replaces bytes that are no UTF-8', () => {
    expect(run(['<0xFF>']).join('')).toBe('\ufffd');
    expect(run(['<0xE2><0x82>', 'x'])).toEqual(['', '\ufffdx', '']);
    expect(run(['<0xE2>', '<0x41>']).join('')).toBe('\ufffdA');
    expect(run(['<0xE2><0x82>'])).toEqual(['', '\ufffd']);
    expect(run(['<0xC3>', ' é']).join('')).toBe('\ufffd é');
    // A surrogate and an overlong form are no UTF-8 either.
    expect(run(['<0xED><0xA0><0x80>']).join('')).toBe('\ufffd\ufffd\ufffd');
  });

  it('keeps a byte order mark', () => {
    expect(run(spell('\ufeffa')).join('')).toBe('\ufeffa');
  });

  it('leaves alone what only looks like a byte piece', () => {
    for (const text of ['<0xG1>', '<0x1>', '<0x123>', '<0X41>', '< 0x41>', '<0x41', '<<0x>', '<s>', '</s>']) {
      expect(run([text]).join(''), text).toBe(text);
      expect(run([...text]).join(''), text).toBe(text);
    }
    expect(run(['<<0x41>']).join('')).toBe('<A');
  });

  it('holds only an ending that may become a byte piece', () => {
    const assembler = new TextAssembler();
    expect(assembler.push('a <')).toBe('a ');
    expect(assembler.push('b')).toBe('<b');
    expect(assembler.push('c<0xE')).toBe('c');
    expect(assembler.push('9')).toBe('');
    expect(assembler.push('>')).toBe('');
    expect(assembler.push('!')).toBe('\ufffd!');
  });

  it('starts anew after a flush', () => {
    const assembler = new TextAssembler();
    assembler.push('<0xE2><0x82>');
    expect(assembler.flush()).toBe('\ufffd');
    expect(assembler.flush()).toBe('');
    expect(assembler.push('<0xAC>ok')).toBe('\ufffdok');
  });

  it('gives the same text for every cut', () => {
    const random = new Random(9);
    const alphabet = ['a', ' ', '<', '>', '0x', '<0x', ...spell('€é😀'), '<0xFF>', 'é', '😀'];
    for (let round = 0; round < 2000; round++) {
      const text = Array.from({ length: random.below(12) }, () => alphabet[random.below(alphabet.length)]).join('');
      const whole = run([text]).join('');
      const cuts: string[] = [];
      for (let at = 0; at < text.length; ) {
        const length = random.below(4);
        cuts.push(text.slice(at, at + length));
        at += length;
      }
      expect(run(cuts).join(''), JSON.stringify(text)).toBe(whole);
    }
  });

  it('does not hold a long text back', () => {
    const assembler = new TextAssembler();
    expect(assembler.push('<'.repeat(100_000))).toHaveLength(99_999);
    expect(assembler.push('<0x4'.repeat(100_000)).length).toBeGreaterThan(399_990);
  });
});
