/** Something one side said. */
export interface Line {
  readonly speaker: 'user' | 'model';
  /** Seconds from the start of the recording. */
  readonly start: number;
  end: number;
  text: string;
}

/** Seconds without a word of the model after which the next one starts a new line. */
const PAUSE = 1.2;

/** Who said what and when, in lines. */
export class Transcript {
  readonly #lines: Line[] = [];

  /** A piece of the model's text, as it comes. */
  model(text: string, time: number): void {
    const last = this.#lines.findLast(({ speaker }) => speaker === 'model');
    if (last && time - last.end < PAUSE) {
      last.text += text;
      last.end = time;
    } else if (text.trim()) this.#lines.push({ speaker: 'model', start: time, end: time, text });
  }

  /** A whole utterance of the user. */
  user(text: string, start: number, end: number): void {
    if (text) this.#lines.push({ speaker: 'user', start, end, text });
  }

  /** The lines in the order they were begun, times in seconds with three digits. */
  get lines(): Line[] {
    const round = (seconds: number) => Math.round(seconds * 1000) / 1000;
    return this.#lines
      .map(({ speaker, start, end, text }) => ({ speaker, start: round(start), end: round(end), text: text.trim() }))
      .sort((a, b) => a.start - b.start);
  }

  toJson(): string {
    return `${JSON.stringify(this.lines, null, 2)}\n`;
  }

  toText(): string {
    return this.lines.map(({ speaker, start, text }) => `[${clock(start)}] ${speaker}: ${text}\n`).join('');
  }

  /** WebVTT: browsers show it under the recording, with a voice for each side. */
  toWebVtt(): string {
    const plain = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
    const cues = this.lines.map(({ speaker, start, end, text }) => {
      // A cue needs some time to be read.
      const until = clock(Math.max(end, start + 1));
      return `\n${clock(start)} --> ${until}\n<v ${speaker}>${plain(text)}\n`;
    });
    return `WEBVTT\n${cues.join('')}`;
  }
}

/** `00:01:02.345` */
function clock(seconds: number): string {
  return new Date(Math.round(seconds * 1000)).toISOString().slice(11, 23);
}
