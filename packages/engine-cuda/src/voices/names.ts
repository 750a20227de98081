import { EngineError } from '../errors';

/** What a voice can be stored as; where two files have one name, the first of these is it. */
export const VOICE_EXTENSIONS = ['.pt', '.safetensors', '.wav', '.flac', '.mp3', '.ogg', '.opus'] as const;

/** The voices NVIDIA publishes with PersonaPlex. */
export const PUBLISHED_VOICES: readonly string[] = [
  ...[0, 1, 2, 3].map((n) => `NATF${n}`),
  ...[0, 1, 2, 3].map((n) => `NATM${n}`),
  ...[0, 1, 2, 3, 4].map((n) => `VARF${n}`),
  ...[0, 1, 2, 3, 4].map((n) => `VARM${n}`),
];

const SHOWN_CHARACTERS = 64;
const SHOWN_NAMES = 40;

/** The voice a file name stands for, and how much other files of this name go before it; undefined for other files. */
export function voiceOfFile(file: string): { name: string; rank: number } | undefined {
  // Control and format characters would steer the terminals and logs the names are shown in.
  if (file.startsWith('.') || file.length > 200 || /[\p{C}/\\]/u.test(file)) return undefined;
  const rank = VOICE_EXTENSIONS.findIndex((extension) => file.toLowerCase().endsWith(extension));
  const name = rank < 0 ? '' : file.slice(0, -VOICE_EXTENSIONS[rank]!.length).normalize('NFC');
  return name === '' ? undefined : { name, rank };
}

/** A name from outside, fit for a message: at most 64 characters, and none that steers a terminal or ends the quotes. */
export function shown(name: string): string {
  const characters = [...name.slice(0, 2 * SHOWN_CHARACTERS + 2)];
  const escaped = characters
    .slice(0, SHOWN_CHARACTERS)
    .join('')
    .replace(/[\p{C}\p{Zl}\p{Zp}"\\]/gu, (one) =>
      /["\\]/.test(one) ? `\\${one}` : `\\u{${one.codePointAt(0)!.toString(16)}}`,
    );
  return `"${escaped}${characters.length > SHOWN_CHARACTERS ? '…' : ''}"`;
}

/** The error for a voice nobody knows; it names those there are. */
export function unknownVoice(name: string, names: readonly string[]): EngineError {
  if (names.length === 0) {
    return new EngineError(
      'ENGINE_BAD_OPTION',
      `there is no voice ${shown(name)}: this engine has no voices; give it a folder of them with --voices DIR`,
    );
  }
  const listed = names.slice(0, SHOWN_NAMES).join(', ');
  const more = names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : '';
  return new EngineError('ENGINE_BAD_OPTION', `there is no voice ${shown(name)}; the voices are ${listed}${more}`);
}
