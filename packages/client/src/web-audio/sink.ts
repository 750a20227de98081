import { mediaError } from '../audio/media-errors';
import { MoshiError } from '../errors';

type Choosing<T> = T & { readonly sinkId?: string; setSinkId?(id: string): Promise<void> };

/** Leads a node to the loudspeaker of choice. */
export class Sink {
  readonly #context: Choosing<AudioContext>;
  readonly #node: AudioNode;
  /** Where only `<audio>` can be sent elsewhere. */
  #element: Choosing<HTMLAudioElement> | undefined;
  #stream: MediaStreamAudioDestinationNode | undefined;

  constructor(context: AudioContext, node: AudioNode) {
    this.#context = context;
    this.#node = node;
    node.connect(context.destination);
  }

  /** Undefined is the default. Rejects with {@link MoshiError} `no-device` or `unsupported`; it plays on where it did, then. */
  async choose(id: string | undefined): Promise<void> {
    try {
      if (this.#context.setSinkId) await this.#chooseForContext(id);
      else if (id === undefined) this.#closeElement();
      else await this.#chooseForElement(id);
    } catch (cause) {
      throw mediaError(cause, 'loudspeaker', id !== undefined);
    }
  }

  close(): void {
    this.#closeElement();
    this.#node.disconnect();
  }

  async #chooseForContext(id = ''): Promise<void> {
    // The default is left alone: only what it plays do browsers surely take out of what the microphone hears.
    if (this.#context.sinkId === id) return;
    await this.#context.setSinkId!(id);
  }

  async #chooseForElement(id: string): Promise<void> {
    const element: Choosing<HTMLAudioElement> = this.#element ?? new Audio();
    if (!element.setSinkId) {
      throw new MoshiError('unsupported', 'this browser lets no page choose its loudspeaker: choose it in the system');
    }
    await element.setSinkId(id);
    if (this.#element) return;
    this.#stream = new MediaStreamAudioDestinationNode(this.#context);
    this.#node.connect(this.#stream);
    element.srcObject = this.#stream.stream;
    this.#element = element;
    try {
      await element.play();
    } catch (cause) {
      this.#closeElement();
      throw cause;
    }
    this.#node.disconnect(this.#context.destination);
  }

  #closeElement(): void {
    if (this.#stream) this.#node.disconnect(this.#stream);
    this.#stream = undefined;
    if (!this.#element) return;
    this.#element.pause();
    this.#element.srcObject = null;
    this.#element = undefined;
    this.#node.connect(this.#context.destination);
  }
}
