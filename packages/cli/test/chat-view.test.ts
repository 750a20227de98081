import { describe, expect, it, vi } from 'vitest';
import { JobControl } from '../src/chat/job-control';
import { type KeyActions, Keys } from '../src/chat/keys';
import { PlainView } from '../src/chat/plain-view';
import { fit, fitEnd, printable, width, wrap } from '../src/chat/printable';
import { TerminalView } from '../src/chat/terminal-view';
import type { Figures } from '../src/chat/view';
import { FakeKeyboard, FakeTerminal } from './support/terminal';

const figures: Figures = {
  ...{
    user: 0.5,
    model: 0.25,
    silence: '',
    seconds: 83,
    answerMs: 420,
    bufferedMs: 90,
    missedMs: 0,
    trouble: undefined,
  },
};

function terminal(columns = 80) {
  const screen = new FakeTerminal();
  screen.columns = columns;
  const view = new TerminalView(screen, { title: 'ws://localhost:8998', captions: true });
  return { screen, view, lines: () => screen.shown.split('\n') };
}

describe('what a terminal shows', () => {
  it('words are dim until they are heard, and bright while they are', () => {
    const { view, lines } = terminal();
    view.text(' Hel', 0.1);
    view.text('lo there', 0.2);
    view.figures(figures);
    expect(lines()[0]).toBe('  ~Hello~ ~there~');
    view.heard(0.1);
    expect(lines()[0]).toBe('  *Hello* ~there~');
    view.heard(0.2);
    expect(lines()[0]).toBe('  Hello *there*');
  });

  it('levels, figures, keys, and what is wrong', () => {
    const { view, lines } = terminal();
    view.figures(figures);
    expect(lines()).toEqual([
      '',
      '',
      '  model ████░░░░░░░░░░░░  1:23 · answer 0.42 s · buffer 90 ms',
      '  you   ████████░░░░░░░░',
      '~  ws://localhost:8998~',
      '~  m mute · s say · space interrupt · q quit~',
    ]);
    view.figures({
      ...figures,
      user: 0,
      silence: 'muted',
      missedMs: 1200,
      answerMs: undefined,
      trouble: 'the connection is lost',
    });
    expect(lines().slice(2, 5)).toEqual([
      '  model ████░░░░░░░░░░░░  1:23 · buffer 90 ms · missed 1.2 s',
      '  you   ░░░░░░░░░░░░░░░░  muted',
      '*  the connection is lost*',
    ]);
    view.typing('Your order');
    expect(lines().at(-1)).toBe('  *say:* Your order▏');
  });

  it('lines that were heard go up and stay, and a narrow window has no line too long', () => {
    const { screen, view, lines } = terminal(30);
    const words = 'one two three four five six seven eight nine ten eleven twelve thirteen'.split(' ');
    for (const [i, word] of words.entries()) view.text(` ${word}`, i);
    for (const i of words.keys()) view.heard(i);
    view.note('a note that is far too long for this narrow window');
    view.figures(figures);
    expect(lines().slice(0, 6)).toEqual([
      '  one two three four five six',
      '  seven eight nine ten eleven',
      '  twelve thirteen',
      '~· a note that is far too long~',
      '~  for this narrow window~',
      '',
    ]);
    expect(lines().every((line) => width(line.replace(/[*~]/g, '')) <= 29)).toBe(true);
    expect(lines().at(-1)).toBe('~  m mute · s say · q quit~');
    view.end();
    expect(lines()).toHaveLength(5);
    expect(screen.raw.startsWith('\x1b[?25l')).toBe(true);
    expect(screen.raw.endsWith('\x1b[?25h')).toBe(true);
  });

  it('breaks lines between words, and a word that is longer than a line anywhere', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrap('see wss://a-long-name:8998 then', 10)).toEqual(['see', 'wss://a-lo', 'ng-name:89', '98 then']);
    expect(wrap('日本語です', 4)).toEqual(['日本', '語で', 'す']);
    expect(wrap('', 10)).toEqual(['']);
  });

  it('gives the cursor back when the program breaks', () => {
    const before = process.listeners('exit');
    const { screen, view } = terminal();
    const [giveBack] = process.listeners('exit').filter((listener) => !before.includes(listener));
    (giveBack as (code: number) => void)(1);
    expect(screen.raw.endsWith('\x1b[?25h')).toBe(true);
    view.end();
    expect(process.listeners('exit')).toEqual(before);
  });

  it('leaves the terminal to the shell, and begins anew below what that wrote', () => {
    const { screen, view, lines } = terminal();
    view.text(' heard', 0);
    view.heard(0);
    view.figures(figures);
    view.pause();
    expect(lines()).toEqual(['  heard']);
    expect(screen.raw.endsWith('\x1b[?25h')).toBe(true);
    const { length } = screen.raw;
    view.figures({ ...figures, seconds: 99 });
    view.note('meanwhile');
    expect(screen.raw).toHaveLength(length);
    view.resume();
    expect(screen.raw.slice(length).startsWith('\x1b[?25l\r')).toBe(true);
    expect(screen.raw.slice(length)).not.toMatch(/\[\d+A/);
    expect(lines().slice(1, 3)).toEqual(['~· meanwhile~', '']);
    view.end();
  });

  it('of what was cut off nothing is left, and the next word stands alone', () => {
    const { view, lines } = terminal();
    view.text(' heard com', 0);
    view.heard(0);
    view.text(' never', 1);
    view.cut();
    view.text('new', 2);
    view.heard(2);
    expect(lines()[0]).toBe('  heard com');
    expect(lines()[1]).toBe('  *new*');
  });

  it('nothing a server sends acts on the terminal', () => {
    const { screen, view } = terminal();
    view.text(' \x1b[2J\x1b]0;gone\x07evil\u202e\u009b31m', 0);
    view.note('\x1b[5mblink\nnext');
    view.heard(0);
    expect(printable('a\x1b[2J\u202e\u009bb\r\nc')).toBe('a[2Jb c');
    const own = ['?25l', '?25h', 'K', 'J', '1m', '2m', '22m', ...'123456789'.split('').map((lines) => `${lines}A`)];
    const rest = own.reduce((text, code) => text.replaceAll(`\x1b[${code}`, ''), screen.raw);
    for (const character of '\x1b\u009b\x07\u202e') expect(rest).not.toContain(character);
    expect(screen.shown).toContain('· [5mblink next');
  });
});

describe('cells', () => {
  it('are counted as terminals do', () => {
    expect([width('abc'), width('日本'), width('👍🏽'), width('e\u0301'), width('')]).toEqual([3, 4, 2, 1, 0]);
    expect([fit('abcdef', 4), fit('abc', 3), fit('日本語', 4), fitEnd('abcdef', 3), fitEnd('日本語', 4)]).toEqual([
      ...['abc…', 'abc', '日…', 'def', '本語'],
    ]);
  });
});

describe('what a program reads', () => {
  it('is a line for each sentence that was heard, and notes apart from it', () => {
    const [stdout, stderr] = [vi.fn(), vi.fn()];
    const view = new PlainView({ stdout: { write: stdout }, stderr: { write: stderr } }, true);
    view.text(' Hello. How are you? I', 1);
    expect(stdout).not.toHaveBeenCalled();
    view.heard(1);
    view.text(' am', 2);
    view.text(' lost', 9);
    view.heard(2);
    view.note('in line,\x07 place 2');
    view.cut();
    view.end();
    expect(stdout.mock.calls.flat()).toEqual(['Hello.\n', 'How are you?\n', 'I am\n']);
    expect(stderr.mock.calls.flat()).toEqual(['moshi: in line, place 2\n']);
  });
});

describe('keys', () => {
  function typed() {
    const log: string[] = [];
    const keyboard = new FakeKeyboard();
    const note = (name: string) => (text?: string) => void log.push(text === undefined ? name : `${name} ${text}`);
    const actions = Object.fromEntries(
      ['mute', 'interrupt', 'quit', 'suspend', 'say', 'typing'].map((name) => [name, note(name)]),
    );
    const keys = new Keys(keyboard, actions as unknown as KeyActions);
    return { keyboard, keys, log };
  }

  it('are commands, and after s a text', () => {
    const { keyboard, log } = typed();
    keyboard.press('m x\x1b[A\x1bOPq');
    expect(log.splice(0)).toEqual(['mute', 'interrupt', 'quit']);
    keyboard.press('sm 👍🏽');
    keyboard.press('\x7f\x1b[D!');
    keyboard.press('\r');
    expect(log.splice(0)).toEqual([
      ...[
        'typing ',
        'typing m',
        'typing m ',
        'typing m 👍',
        'typing m 👍🏽',
        'typing m ',
        'typing m !',
        'typing',
        'say m !',
      ],
    ]);
    keyboard.press('sab\x15c\x1b');
    keyboard.press('s\r');
    keyboard.press('\x1as\x1a\x03');
    expect(log).toEqual([
      ...['typing ', 'typing a', 'typing ab', 'typing ', 'typing c', 'typing'],
      ...['typing ', 'typing', 'suspend', 'typing ', 'suspend', 'quit'],
    ]);
  });

  it('may come in pieces of a character, and go back to the shell', () => {
    const { keyboard, keys, log } = typed();
    expect(keyboard.raw).toBe(true);
    keyboard.press('s');
    const [euro] = [Buffer.from('€')];
    keyboard.emit('data', euro.subarray(0, 1));
    keyboard.emit('data', euro.subarray(1));
    expect(log.at(-1)).toBe('typing €');
    keys.end();
    keyboard.press('q');
    expect([keyboard.raw, log.includes('quit')]).toEqual([false, false]);
  });
});

describe.skipIf(process.platform === 'win32')('job control', () => {
  it('gives the terminal back before the program stops, and takes it when that goes on', () => {
    const log: unknown[] = [];
    const holder = { pause: () => log.push('pause'), resume: () => log.push('resume') };
    const before = [process.listenerCount('SIGTSTP'), process.listenerCount('SIGCONT')];
    const jobs = new JobControl(holder, (pid, signal) => Boolean(log.push([pid, signal])) as true);
    jobs.suspend();
    // All of the group are told, this program among them.
    expect(log.splice(0)).toEqual([[0, 'SIGTSTP']]);
    process.emit('SIGTSTP', 'SIGTSTP');
    expect(log.splice(0)).toEqual(['pause', [process.pid, 'SIGSTOP']]);
    process.emit('SIGCONT', 'SIGCONT');
    expect(log.splice(0)).toEqual(['resume']);
    jobs.end();
    expect([process.listenerCount('SIGTSTP'), process.listenerCount('SIGCONT')]).toEqual(before);
  });
});
