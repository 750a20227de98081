const PIECE_CHARS = '<0xNN>'.length;
const bytePiece = /<0x([0-9A-Fa-f]{2})>/g;
const pieceStart = /<(?:0(?:x[0-9A-Fa-f]{0,2})?)?$/;

/**
 * Turns the text fragments of a session into clean text. Models spell rare characters as byte pieces, which the
 * Python servers send literally: `<0xE2><0x82><0xAC>` is "€". Bytes are held until their character is complete,
 * however the fragments are cut; bytes that are no UTF-8 become U+FFFD. All other text passes through at once, save
 * an ending that may be the start of a byte piece. Holds at most 3 bytes and 5 characters.
 */
export class TextAssembler {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #held = '';

  /** Takes the next fragment and returns the text that is certain now; may be empty. */
  push(fragment: string): string {
    const text = this.#held + fragment;
    this.#held = pieceStart.exec(text.slice(1 - PIECE_CHARS))?.[0] ?? '';
    const end = text.length - this.#held.length;
    let out = '';
    let at = 0;
    for (const match of text.slice(0, end).matchAll(bytePiece)) {
      out += this.#plain(text.slice(at, match.index));
      out += this.#decoder.decode(Uint8Array.of(Number.parseInt(match[1]!, 16)), { stream: true });
      at = match.index + PIECE_CHARS;
    }
    return out + this.#plain(text.slice(at, end));
  }

  /** The end of the text: returns what is held. The assembler then starts anew. */
  flush(): string {
    const out = this.#decoder.decode() + this.#held;
    this.#held = '';
    return out;
  }

  #plain(text: string): string {
    // Other text ends a run of bytes; an empty fragment does not.
    return text === '' ? '' : this.#decoder.decode() + text;
  }
}
