/** What a terminal would act on, or what would turn the text around it: control characters, and marks of direction. */
const DANGEROUS = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const BLANKS = /\s+/g;
const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
/** East Asian wide and full-width characters, and emoji. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;
const NO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;

/** A server's words, as one line that only shows text, whatever is in them. */
export function printable(text: string): string {
  return text.replace(BLANKS, ' ').replace(DANGEROUS, '');
}

/** How many cells of a terminal a text takes, as far as that can be known. */
export function width(text: string): number {
  let cells = 0;
  for (const { segment } of segmenter.segment(text)) cells += NO_WIDTH.test(segment) ? 0 : WIDE.test(segment) ? 2 : 1;
  return cells;
}

/** As much of the beginning of a text as fits, and `…` where something is left out. */
export function fit(text: string, cells: number): string {
  if (width(text) <= cells) return text;
  let out = '';
  let taken = 1;
  for (const { segment } of segmenter.segment(text)) {
    taken += width(segment);
    if (taken > cells) break;
    out += segment;
  }
  return cells < 1 ? '' : `${out}…`;
}

/** A text as lines that fit, broken between words, and within one where it is longer than a line. */
export function wrap(text: string, cells: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (width(longer) <= cells) {
      line = longer;
      continue;
    }
    if (line !== '') lines.push(line);
    line = '';
    for (const { segment } of segmenter.segment(word)) {
      if (line !== '' && width(line) + width(segment) > cells) {
        lines.push(line);
        line = '';
      }
      line += segment;
    }
  }
  return [...lines, line];
}

/** The end of a text, for a field one types into. */
export function fitEnd(text: string, cells: number): string {
  const parts = [...segmenter.segment(text)].map(({ segment }) => segment);
  while (parts.length > 0 && width(parts.join('')) > cells) parts.shift();
  return parts.join('');
}

/** The text without its last character, as one sees it. */
export function withoutLast(text: string): string {
  return [...segmenter.segment(text)]
    .slice(0, -1)
    .map(({ segment }) => segment)
    .join('');
}
