/** A piece of text as the server sent it. */
export interface Fragment {
  readonly text: string;
  /** Seconds from the start of the recording. */
  readonly time: number;
}

/** What became of one text the model was made to speak. */
export interface Said {
  /** The text asked for. */
  readonly asked: string;
  /** What was really spoken. */
  readonly spoken: string;
  /** False when it ended before its last word. */
  readonly completed: boolean;
}

/** One word of what the model said. */
export interface Word {
  readonly text: string;
  /** Seconds from the start of the recording at which its first piece came. */
  readonly start: number;
}

/** Puts fragments together into words: white space, wherever it stands, is what ends one. */
export function toWords(fragments: readonly Fragment[]): Word[] {
  const words: { text: string; start: number }[] = [];
  let open = false;
  for (const { text, time } of fragments) {
    for (const piece of text.split(/(\s+)/)) {
      if (piece === '') continue;
      if (/^\s/.test(piece)) open = false;
      else if (open) words[words.length - 1]!.text += piece;
      else {
        words.push({ text: piece, start: time });
        open = true;
      }
    }
  }
  return words;
}

/** What was said, as one clean line. */
export function toText(fragments: readonly Fragment[]): string {
  return fragments
    .map(({ text }) => text)
    .join('')
    .replace(/\s+/g, ' ')
    .trim();
}
