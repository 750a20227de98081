import type { Session } from '@moshi/client';
import { batch } from '@preact/signals';
import type { PageAddress } from '../address';
import { troubleOf } from '../words';
import { CallSignals, type Mode } from './call-signals';
import { addLine, addPiece, hearUntil, noCaptions, skipComing } from './captions';
import { Recorder } from './recorder';
import { fetchServerInfo, readServerInfo } from './server-info';
import { parametersOf, type Settings } from './settings';
import type { SoundTools } from './sound-tools';

/** The SDK, which is most of the page's bytes: fetched while the page is being looked at. */
const sdk = () => import('@moshi/client');

/** A call with one server. The only part of the page that knows the SDK. */
export class Call extends CallSignals {
  readonly recorder: Recorder;
  readonly #address: PageAddress;
  readonly #tools: SoundTools;
  readonly #settings: () => Settings;
  #key: string | undefined;
  #session: Session | undefined;
  #abort = new AbortController();

  constructor(address: PageAddress, settings: () => Settings, tools: SoundTools) {
    super();
    this.#address = address;
    this.#settings = settings;
    this.#tools = tools;
    this.#key = address.key;
    this.recorder = new Recorder(tools);
    this.mode.value = address.textMode ? 'text' : 'voice';
  }

  /** Looks at the server without a conversation: its model, its voices. Never rejects. */
  async look(): Promise<void> {
    const { foreignHost, server } = this.#address;
    void this.refreshDevices();
    if (foreignHost !== undefined) {
      // A page may only ask its own server; the published names are those most others know.
      this.voices.value = await sdk().then(
        ({ publishedVoices }) => publishedVoices,
        () => [],
      );
      return;
    }
    const [info] = await Promise.all([fetchServerInfo(server), this.#lookForVoices()]);
    if (this.#session === undefined) this.server.value = info;
  }

  /** Gives the key the server asked for. */
  async useKey(key: string): Promise<void> {
    this.#key = key;
    await this.#lookForVoices();
  }

  /** Begins a conversation; call it in a click. Never rejects: see `trouble`. */
  async start(mode: Mode, firstText?: string): Promise<void> {
    if (this.phase.value.name !== 'idle') return;
    this.#abort = new AbortController();
    const { signal: stop } = this.#abort;
    batch(() => {
      this.mode.value = mode;
      this.trouble.value = undefined;
      this.newConversation.value = undefined;
      this.offline.value = false;
      this.phase.value = { name: mode === 'voice' ? 'asking' : 'connecting' };
    });
    let letGo = () => {};
    let opened: Session | undefined;
    try {
      // Within the click, as browsers let a page make sound only then.
      const audio = this.#tools.prepare();
      // Before connecting, so that nobody holds a place at the server while he reads the browser's question.
      if (mode === 'voice') letGo = await this.#askForMicrophone(stop);
      this.phase.value = { name: 'connecting' };
      const { workerAuthId, email } = this.#address;
      const { connect } = await sdk();
      const session = await connect(this.#chatAddress(), {
        ...parametersOf(this.#settings()),
        ...(workerAuthId !== undefined && { workerAuthId }),
        ...(email !== undefined && { email }),
        audio,
        signal: stop,
        on: {
          waiting: ({ position }) => {
            this.phase.value = { name: 'waiting', ...(position !== undefined && { position }) };
          },
          metadata: (told) => {
            this.server.value = { ...this.server.value, ...readServerInfo(told) };
          },
        },
      });
      opened = session;
      this.#session = session;
      this.#listen(session);
      await this.#openSound(session, mode);
      if (this.#session === session && firstText !== undefined) this.say(firstText);
    } catch (error) {
      // Why a session is over has been told, and another call may have begun.
      if (opened === undefined || this.#session === opened) await this.#giveUp(stop.aborted ? undefined : error);
    } finally {
      letGo();
      void this.refreshDevices();
    }
  }

  /** Ends the call, or takes back one that has not begun. */
  async hangUp(): Promise<void> {
    const session = this.#session;
    if (!session) {
      this.#abort.abort();
      return;
    }
    this.phase.value = { name: 'ending' };
    await this.stopRecording();
    await session.close();
  }

  setMuted(muted: boolean): void {
    this.#session?.microphone.setMuted(muted);
    this.muted.value = muted;
  }

  /** Lets the model say a text. Outside of a call nothing happens. */
  say(text: string): void {
    const session = this.#session;
    if (!session) return;
    this.captions.value = addLine(this.captions.value, 'you', text);
    session.say(text).catch((error) => {
      // A text that the end of the call cut off needs no words of its own.
      if (this.#session === session) this.trouble.value = troubleOf(error);
    });
  }

  /** The model stops speaking. */
  interrupt(): void {
    this.#attempt((session) => session.interrupt());
    this.captions.value = skipComing(this.captions.value);
  }

  /** Ends the browser's silence; call it in a click. */
  async playSound(): Promise<void> {
    await this.#try((session) => session.speaker.resume());
  }

  /** Goes on with the microphone after having begun without. */
  async useMicrophone(): Promise<void> {
    await this.#try(async (session) => {
      await session.microphone.start({ ...this.#microphoneOptions(), source: 'device' });
      this.mode.value = 'voice';
      this.trouble.value = undefined;
    });
    void this.refreshDevices();
  }

  async setInput(id: string | undefined): Promise<void> {
    if (this.mode.value === 'voice') await this.#try((session) => session.microphone.setDevice(id));
  }

  async setOutput(id: string | undefined): Promise<void> {
    await this.#try((session) => session.speaker.setDevice(id));
  }

  setVolume(volume: number): void {
    this.#attempt((session) => session.speaker.setVolume(volume));
  }

  /** Begins to record both sides. */
  async startRecording(): Promise<void> {
    await this.#try((session) => this.recorder.start(session));
  }

  /** Ends the recording and gives it to the browser to save. */
  async stopRecording(): Promise<void> {
    try {
      await this.recorder.stop();
    } catch (error) {
      this.trouble.value = troubleOf(error);
    }
  }

  /** Loudness of both sides at this moment, 0 to 1. */
  get levels(): { readonly you: number; readonly model: number } {
    const session = this.#live;
    return { you: session?.microphone.level ?? 0, model: session?.speaker.level ?? 0 };
  }

  /** Loudness by frequency of both sides, 0 to 255; false, and nothing written, outside of a call. */
  readBands(you: Uint8Array, model: Uint8Array): boolean {
    const session = this.#live;
    if (!session) return false;
    session.microphone.getByteFrequencyData(you);
    session.speaker.getByteFrequencyData(model);
    return true;
  }

  async refreshDevices(): Promise<void> {
    try {
      const { listDevices } = await sdk();
      this.devices.value = await listDevices({ platform: this.#tools.platform });
    } catch {
      this.devices.value = undefined;
    }
  }

  get #live(): Session | undefined {
    return this.speaker.value === 'off' ? undefined : this.#session;
  }

  /** The address with this server's own key; foreign ones never get it. */
  #chatAddress(): string {
    const url = new URL(this.#address.server);
    if (this.#key !== undefined && this.#address.foreignHost === undefined) url.searchParams.set('key', this.#key);
    return url.href;
  }

  async #lookForVoices(): Promise<void> {
    try {
      const { listVoices } = await sdk();
      const voices = await listVoices(this.#chatAddress());
      batch(() => {
        this.voices.value = voices.map(({ name }) => name);
        this.keyNeeded.value = false;
      });
    } catch (error) {
      this.voices.value = [];
      // A browser cannot read why a WebSocket was refused, but it can read this; a server's own trouble is worth another try.
      const { code, retryable } = error as { code?: unknown; retryable?: unknown };
      this.keyNeeded.value = code === 'refused' && retryable !== true;
    }
  }

  /** Rejects as soon as the call is taken back: a browser's question stays until somebody answers it. */
  async #askForMicrophone(stop: AbortSignal): Promise<() => void> {
    const asked = this.#tools.askForMicrophone(this.#settings());
    const takenBack = new Promise<never>((_, reject) => {
      stop.addEventListener('abort', () => reject(stop.reason), { once: true });
    });
    try {
      return await Promise.race([asked, takenBack]);
    } catch (error) {
      if (stop.aborted) asked.then((letGo) => letGo()).catch(() => {});
      throw error;
    }
  }

  #microphoneOptions() {
    const { inputId, echoCancellation, noiseSuppression, autoGainControl } = this.#settings();
    return { deviceId: inputId, echoCancellation, noiseSuppression, autoGainControl, muted: this.muted.value };
  }

  async #openSound(session: Session, mode: Mode): Promise<void> {
    const { outputId, volume } = this.#settings();
    const { speaker, microphone } = session;
    speaker.on('state', ({ status }) => {
      this.speaker.value = status;
    });
    speaker.on('word', ({ time }) => {
      this.captions.value = hearUntil(this.captions.value, time);
    });
    microphone.on('error', (error) => {
      this.trouble.value = troubleOf(error);
      void this.refreshDevices();
    });
    speaker.on('error', (error) => {
      this.trouble.value = troubleOf(error);
    });
    try {
      await speaker.start({ deviceId: outputId, volume });
    } catch (error) {
      // A loudspeaker that was chosen once and is gone is no reason not to talk.
      if (outputId === undefined) throw error;
      await speaker.start({ volume });
    }
    this.speaker.value = speaker.state.status;
    await microphone.start(mode === 'voice' ? this.#microphoneOptions() : { source: 'silence' });
  }

  #listen(session: Session): void {
    batch(() => {
      this.phase.value = { name: 'live' };
      this.since.value = performance.now();
      this.canSay.value = session.extensions.has('say');
      this.captions.value = noCaptions;
    });
    session.on('text', (piece) => {
      this.captions.value = addPiece(this.captions.value, piece);
    });
    session.on('metrics', (metrics) => {
      this.figures.value = { metrics, playout: this.#live && session.speaker.playout };
    });
    session.on('state', (state) => {
      if (state.status === 'reconnecting') this.phase.value = { name: 'reconnecting', attempt: state.attempt };
      else if (state.status === 'waiting') this.phase.value = { name: 'waiting', position: state.position };
      else if (state.status === 'ready') this.phase.value = { name: 'live' };
    });
    session.on('new-conversation', ({ reason }) => {
      batch(() => {
        this.newConversation.value = reason;
        // Told by a server that may be gone; the next one tells its own.
        this.behindMs.value = 0;
        this.captions.value = addLine(skipComing(this.captions.value), 'note', 'A new conversation begins here.');
      });
    });
    session.on('behind', ({ ms }) => {
      this.behindMs.value = ms;
    });
    session.on('online', () => {
      this.offline.value = false;
    });
    session.on('offline', () => {
      this.offline.value = true;
    });
    session.on('error', (error) => {
      // What the server itself said of an end is better than what its close code stands for.
      if (error.code !== 'closed' || this.trouble.value?.code !== 'server') this.trouble.value = troubleOf(error);
    });
    session.on('closed', () => this.#ended(session));
  }

  #ended(session: Session): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    void this.stopRecording();
    batch(() => {
      this.phase.value = { name: 'idle' };
      this.speaker.value = 'off';
      this.since.value = undefined;
      this.canSay.value = undefined;
      this.muted.value = false;
      this.figures.value = undefined;
      this.behindMs.value = 0;
      this.newConversation.value = undefined;
      this.captions.value = skipComing(this.captions.value);
      if (this.#address.textMode) this.mode.value = 'text';
    });
  }

  /** A call that did not come about; without an error because it was taken back. */
  async #giveUp(error?: unknown): Promise<void> {
    const session = this.#session;
    await session?.close();
    batch(() => {
      this.phase.value = { name: 'idle' };
      this.trouble.value = error === undefined ? undefined : troubleOf(error);
    });
  }

  #attempt(action: (session: Session) => void): void {
    void this.#try(async (session) => action(session));
  }

  async #try(action: (session: Session) => Promise<void>): Promise<void> {
    const session = this.#session;
    if (!session) return;
    try {
      await action(session);
    } catch (error) {
      if (this.#session === session) this.trouble.value = troubleOf(error);
    }
  }
}
