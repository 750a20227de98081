import type { AudioOptions, AudioSession, SessionAudio } from './audio/types';
import type { CloseWords } from './close-words';
import type { Codecs } from './codecs';
import { MoshiError } from './errors';
import type { ResolvedOptions } from './options';

/** What a session's sound is made by: the module `@moshi/client/sound`. */
export interface Sound {
  createCodecs(options: Pick<ResolvedOptions, 'codecs' | 'opus' | 'audio'>, decodes: boolean): Promise<Codecs>;
  createAudio(session: AudioSession, options: AudioOptions): SessionAudio;
  readonly closeWords: CloseWords;
}

/** Gets {@link Sound} when the first session opens, so that a page need not load it before: `() => import('@moshi/client/sound')`. */
export type LoadSound = () => Promise<Sound>;

/** Close codes of servers and networks that may be there again in a moment. */
const RETRYABLE = [1001, 1005, 1006, 1011, 1012, 1013];

const briefWords: CloseWords = {
  closed: (code, reason) => ({
    message: `The connection closed with code ${code}${reason && `: ${reason.slice(0, 123)}`}.`,
    retryable: RETRYABLE.includes(code),
  }),
  refused: ({ status }, url) => new MoshiError('refused', `${url} refused the connection with HTTP ${status}`),
  unreachable: (url, cause) => new MoshiError('unreachable', `cannot reach ${url}`, { retryable: true, cause }),
};

/** The sound of a session, loaded while its connection opens. */
export class SoundLoader {
  readonly #load: LoadSound;
  readonly #words: CloseWords;
  #sound: Sound | undefined;

  /** `words`: those until it is loaded. */
  constructor(load: LoadSound, words: CloseWords = briefWords) {
    this.#load = load;
    this.#words = words;
  }

  get closeWords(): CloseWords {
    return this.#sound?.closeWords ?? this.#words;
  }

  async createCodecs(...args: Parameters<Sound['createCodecs']>): Promise<Codecs> {
    this.#sound ??= await this.#load();
    return this.#sound.createCodecs(...args);
  }

  /** Throws {@link MoshiError} `closed` before there are codecs, and so never on a session that was ready once. */
  createAudio(...args: Parameters<Sound['createAudio']>): SessionAudio {
    if (!this.#sound) throw new MoshiError('closed', 'there is no sound before the session was ready');
    return this.#sound.createAudio(...args);
  }
}
