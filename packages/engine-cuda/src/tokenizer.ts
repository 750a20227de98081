import { translated } from './errors';
import { addon } from './native';

/** A SentencePiece unigram tokenizer. */
export interface Tokenizer {
  /** Number of pieces. */
  readonly size: number;
  /** Token ids of a text, without begin and end tokens. */
  encode(text: string): Int32Array;
  /** The text of token ids; broken byte pieces become U+FFFD. Throws for ids outside the vocabulary. */
  decode(ids: Int32Array): string;
}

/** Reads a published `.model` file. Throws `ENGINE_BAD_FILE` when it is none. */
export function loadTokenizer(path: string): Tokenizer {
  const native = translated(() => addon().loadTokenizer(path));
  return {
    size: native.size,
    encode: (text) => translated(() => native.encode(text)),
    decode: (ids) => translated(() => native.decode(ids)),
  };
}
