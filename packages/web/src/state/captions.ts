/** `coming`: received, not heard; `skipped`: will never be heard, as the model was interrupted. */
export type WordState = 'coming' | 'heard' | 'skipped';

/** One word of the model, or what there is of it. */
export interface CaptionWord {
  readonly text: string;
  /** Seconds of reply audio at its beginning. */
  readonly time: number;
  readonly state: WordState;
}

/** A stretch of speech between two pauses, a typed text, or a note of the page. */
export type CaptionLine =
  | { readonly id: number; readonly who: 'model'; readonly words: readonly CaptionWord[] }
  | { readonly id: number; readonly who: 'you'; readonly text: string }
  | { readonly id: number; readonly who: 'note'; readonly text: string };

/** Everything said so far, as far as it is kept. */
export interface Captions {
  readonly lines: readonly CaptionLine[];
  readonly nextId: number;
  /** The last sentence heard, for screen readers: word by word would drown everything else. */
  readonly sentence: string;
  /** Words heard that are in no sentence yet. */
  readonly unread: readonly string[];
}

export const noCaptions: Captions = { lines: [], nextId: 1, sentence: '', unread: [] };

/** A pause of the model that begins a new line, in seconds. */
const PAUSE = 1.6;
/** Letters after which a line ends with its sentence. */
const LONG_LINE = 220;
/** Words read out at the latest, for speech without full stops. */
const LONG_SENTENCE = 14;
const MAX_LINES = 200;

/** A piece of the model's text; a leading space begins a word. */
export function addPiece(captions: Captions, piece: { text: string; time: number }): Captions {
  const last = captions.lines.at(-1);
  const parts = piece.text.split(/(?=\s)/).filter((part) => part !== '');
  return parts.reduce((all, part) => addWord(all, part, piece.time), closeLine(captions, last, piece));
}

/** Everything up to this second of the reply has been heard. */
export function hearUntil(captions: Captions, time: number): Captions {
  const newly: string[] = [];
  const lines = captions.lines.map((line) => {
    if (line.who !== 'model' || !line.words.some((word) => word.state === 'coming' && word.time <= time)) return line;
    const words = line.words.map((word) => {
      if (word.state !== 'coming' || word.time > time) return word;
      newly.push(word.text);
      return { ...word, state: 'heard' as const };
    });
    return { ...line, words };
  });
  if (newly.length === 0) return captions;
  return newly.reduce(read, { ...captions, lines });
}

/** What was not heard will not be. */
export function skipComing(captions: Captions): Captions {
  return readRest({
    ...captions,
    lines: captions.lines.map((line) => {
      if (line.who !== 'model' || !line.words.some((word) => word.state === 'coming')) return line;
      return {
        ...line,
        words: line.words.map((word) => (word.state === 'coming' ? { ...word, state: 'skipped' as const } : word)),
      };
    }),
  });
}

/** A text the user typed, or a note of the page. */
export function addLine(captions: Captions, who: 'you' | 'note', text: string): Captions {
  return push(captions, { id: captions.nextId, who, text });
}

function addWord(captions: Captions, part: string, time: number): Captions {
  const line = captions.lines.at(-1);
  const begins = /^\s/.test(part);
  const text = part.trim();
  if (line?.who !== 'model') {
    return text === ''
      ? captions
      : push(captions, { id: captions.nextId, who: 'model', words: [{ text, time, state: 'coming' }] });
  }
  const open = line.words.at(-1);
  let words: readonly CaptionWord[];
  if (begins || open === undefined) words = [...line.words, { text, time, state: 'coming' }];
  else words = [...line.words.slice(0, -1), { ...open, text: open.text + text }];
  return { ...captions, lines: [...captions.lines.slice(0, -1), { ...line, words }] };
}

/** Ends the last line where a pause or a full stop lets the next piece begin a new one. */
function closeLine(captions: Captions, last: CaptionLine | undefined, piece: { text: string; time: number }): Captions {
  if (last?.who !== 'model' || !/^\s/.test(piece.text)) return captions;
  const word = last.words.at(-1);
  if (!word) return captions;
  const letters = last.words.reduce((sum, { text }) => sum + text.length + 1, 0);
  const ends = piece.time - word.time > PAUSE || (letters > LONG_LINE && endsSentence(word.text));
  if (!ends) return captions;
  return push(captions, { id: captions.nextId, who: 'model', words: [] });
}

function push(captions: Captions, line: CaptionLine): Captions {
  return { ...captions, lines: [...captions.lines, line].slice(-MAX_LINES), nextId: captions.nextId + 1 };
}

function read(captions: Captions, word: string): Captions {
  const unread = [...captions.unread, word];
  if (!endsSentence(word) && unread.length < LONG_SENTENCE) return { ...captions, unread };
  return { ...captions, unread: [], sentence: unread.join(' ') };
}

function readRest(captions: Captions): Captions {
  if (captions.unread.length === 0) return captions;
  return { ...captions, unread: [], sentence: captions.unread.join(' ') };
}

function endsSentence(word: string): boolean {
  return /[.!?…]["'”’)]?$/.test(word);
}
