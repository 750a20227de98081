import type { Session, SpeakerOptions } from '@moshi/client';
import { oneLine } from '../exit';
import type { ChatView } from './view';

const TRY_AGAIN_MS = 3000;

/** Tells when microphone and loudspeaker are gone and when they are back. A lost loudspeaker is tried again every three seconds. */
export class SoundWatch {
  readonly #session: Session;
  readonly #view: ChatView;
  readonly #options: SpeakerOptions;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  /** `options` are what the loudspeaker was started with. */
  constructor(session: Session, view: ChatView, options: SpeakerOptions, everyMs = TRY_AGAIN_MS) {
    this.#session = session;
    this.#view = view;
    this.#options = options;
    this.#watchMicrophone();
    this.#watchSpeaker(everyMs);
  }

  /** What the user should know of the sound at this moment. */
  get trouble(): string | undefined {
    return this.#timer && 'there is no loudspeaker: trying again';
  }

  /** Nothing is tried any more, also when the session takes the loudspeaker away afterwards. */
  end(): void {
    this.#ended = true;
    this.#rest();
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #watchMicrophone(): void {
    const { microphone } = this.#session;
    let isLost = false;
    microphone.on('error', (error) => {
      isLost = true;
      this.#view.note(`${oneLine(error)}: the model hears silence`);
    });
    microphone.on('device', (device) => {
      if (isLost && device) this.#view.note(`microphone: ${device.label}`);
      if (device) isLost = false;
    });
  }

  #watchSpeaker(everyMs: number): void {
    const { speaker } = this.#session;
    let isLost = false;
    speaker.on('error', (error) => {
      isLost = true;
      this.#view.note(oneLine(error));
    });
    speaker.on('device', (device) => {
      if (isLost && device) this.#view.note(`loudspeaker: ${device.label}`);
      if (device) isLost = false;
    });
    speaker.on('state', ({ status }) => {
      if (status === 'playing') this.#rest();
      if (status !== 'off' || !isLost || this.#timer || this.#ended) return;
      const again = { ...this.#options, deviceId: undefined };
      this.#timer = setInterval(() => void speaker.start(again).catch(() => {}), everyMs);
    });
  }
}
