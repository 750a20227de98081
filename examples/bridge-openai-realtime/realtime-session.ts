import { randomUUID } from 'node:crypto';
import { connect, type Session } from '@moshi/client';
import { rms } from '@moshi/protocol/audio';
import type { ConversationItem, RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { WebSocket } from 'ws';
import { SpeechDetector } from '../common/speech-detector.ts';
import { PacedInput } from './paced-input.ts';
import { asBeta, type ResponseEnd, type ServerEvent, SpokenResponse } from './response.ts';
import { decoder, describe, encoder, type Settings, update } from './settings.ts';

const RATE = 24_000;
/** Louder than this, -40 dBFS, the model is speaking. */
const VOICE_LEVEL = 0.01;
/** A response ends after this much quiet, … */
const PAUSE_MS = 800;
/** … after this long without a word whatever the sound, or when this long nothing came of it, … */
const WORDLESS_MS = 4000;
/** … and always after this: a model that never pauses is told in pieces. */
const LONGEST_MS = 30_000;
/** What is still on its way when the model is told to stop. */
const AFTERMATH_MS = 500;

const OPENAI_VOICES: ReadonlySet<string> = new Set(
  'alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse'.split(' '),
);

const newId = (kind: string) => `${kind}_${randomUUID().replaceAll('-', '').slice(0, 20)}`;

/** One client of the Realtime API and its conversation with Moshi, which begins with the first audio or response. */
export class RealtimeSession {
  readonly #socket: WebSocket;
  readonly #moshiUrl: string;
  readonly #id = newId('sess');
  #settings: Settings;
  #moshi: Promise<Session | undefined> | undefined;
  /** Aborted when the conversation with Moshi is over for us. */
  #link = new AbortController();
  #decode = decoder('audio/pcm');
  #encode = encoder('audio/pcm');
  #ears = new SpeechDetector();
  readonly #input = new PacedInput((frame) => this.#listen(frame));
  #userItem = newId('item');
  #lastItem: string | null = null;
  #response: SpokenResponse | undefined;
  /** Milliseconds of the model's audio: since the response began, since its last sound, its last word, and left to ignore. */
  #age = 0;
  #quiet = 0;
  #wordless = 0;
  #deaf = 0;
  #spoke = false;

  constructor(socket: WebSocket, moshiUrl: string, model: string, beta: boolean) {
    this.#socket = socket;
    this.#moshiUrl = moshiUrl;
    this.#settings = {
      model,
      instructions: '',
      voice: '',
      input: 'audio/pcm',
      output: 'audio/pcm',
      turnDetection: true,
      beta,
    };
    socket.on('message', (data) => this.#receive(data.toString()));
    socket.on('close', () => this.#leaveMoshi());
    socket.on('error', (error) => console.error(error.message));
    this.#send({ type: 'session.created', session: describe(this.#id, this.#settings) });
  }

  #receive(text: string): void {
    let event: Partial<RealtimeClientEvent> | undefined;
    try {
      event = JSON.parse(text);
      this.#handle(event as RealtimeClientEvent);
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      const error = { type: 'invalid_request_error', message, event_id: event?.event_id ?? null };
      this.#send({ type: 'error', error });
    }
  }

  #handle(event: RealtimeClientEvent): void {
    switch (event.type) {
      case 'session.update':
        this.#update(event.session ?? {});
        break;
      case 'input_audio_buffer.append':
        this.#append(Buffer.from(event.audio, 'base64'));
        break;
      case 'input_audio_buffer.clear':
        this.#input.clear();
        this.#send({ type: 'input_audio_buffer.cleared' });
        break;
      case 'input_audio_buffer.commit':
        this.#input.whenHeard(() => this.#commit());
        break;
      case 'conversation.item.create': {
        // Noted, so that clients can go on; a speech model has no way to read it in the middle of a conversation.
        const { item, previous_item_id } = event;
        if (!item) throw new Error('conversation.item.create needs an item');
        this.#addItem(
          { ...item, id: ('id' in item && item.id) || newId('item') } as ConversationItem,
          previous_item_id,
        );
        break;
      }
      case 'conversation.item.delete':
        this.#send({ type: 'conversation.item.deleted', item_id: event.item_id });
        break;
      case 'conversation.item.truncate': {
        const { item_id, content_index, audio_end_ms } = event;
        this.#send({ type: 'conversation.item.truncated', item_id, content_index, audio_end_ms });
        break;
      }
      case 'response.create':
        this.#createResponse(event.response?.instructions);
        break;
      case 'response.cancel':
        this.#cancel();
        break;
      default:
        throw new Error(`event type ${JSON.stringify((event as { type?: unknown })?.type)} is not known here`);
    }
  }

  #update(session: object): void {
    const old = this.#settings;
    this.#settings = update(old, session);
    if (this.#settings.input !== old.input) this.#decode = decoder(this.#settings.input);
    if (this.#settings.output !== old.output) this.#encode = encoder(this.#settings.output);
    // Moshi learns its role and voice before the conversation: others mean another conversation.
    const persona = this.#settings.instructions !== old.instructions || this.#settings.voice !== old.voice;
    if (persona && this.#moshi) this.#leaveMoshi();
    this.#send({ type: 'session.updated', session: describe(this.#id, this.#settings) });
  }

  #append(bytes: Uint8Array): void {
    this.#input.push(this.#decode(bytes));
    void this.#ready();
  }

  /** The conversation with Moshi, begun when it is first needed; undefined when it failed, which ends the session. */
  #ready(): Promise<Session | undefined> {
    this.#moshi ??= this.#connect(this.#link.signal);
    return this.#moshi;
  }

  async #connect(signal: AbortSignal): Promise<Session | undefined> {
    const { voice, instructions } = this.#settings;
    // Programs made for OpenAI name its voices; Moshi has others, and its own default.
    const own = OPENAI_VOICES.has(voice) ? process.env.VOICE : voice;
    try {
      const persona = { voice: own || undefined, prompt: instructions || undefined };
      // Programs made for OpenAI expect an end, not a gap.
      const moshi = await connect(this.#moshiUrl, { ...persona, reconnect: false, signal });
      if (signal.aborted) return undefined;
      moshi.on('text', ({ text }) => this.#onText(text));
      moshi.on('audio', ({ pcm }) => this.#onAudio(pcm));
      moshi.on('closed', ({ error }) => error && this.#fail(error.message));
      this.#input.start(moshi);
      return moshi;
    } catch (error) {
      if (!signal.aborted) this.#fail((error as Error).message);
      return undefined;
    }
  }

  #listen(frame: Float32Array): void {
    if (!this.#settings.turnDetection) return;
    const turn = this.#ears.push(frame);
    const item_id = this.#userItem;
    if (turn?.type === 'started') {
      this.#send({ type: 'input_audio_buffer.speech_started', item_id, audio_start_ms: Math.round(turn.atMs) });
    } else if (turn) {
      this.#send({ type: 'input_audio_buffer.speech_stopped', item_id, audio_end_ms: Math.round(turn.atMs) });
      this.#commit();
    }
  }

  #commit(): void {
    const id = this.#userItem;
    this.#userItem = newId('item');
    this.#send({ type: 'input_audio_buffer.committed', item_id: id, previous_item_id: this.#lastItem });
    // Nobody writes down what the user says: Moshi hears, it does not transcribe.
    this.#addItem({ id, type: 'message', role: 'user', content: [{ type: 'input_audio' }] });
  }

  #addItem(item: ConversationItem, previous: string | null = this.#lastItem): void {
    const added = { ...item, object: 'realtime.item', status: 'completed' } as ConversationItem & { id: string };
    this.#lastItem = added.id;
    this.#send({ type: 'conversation.item.added', item: added, previous_item_id: previous });
    this.#send({ type: 'conversation.item.done', item: added, previous_item_id: previous });
  }

  /** `Say exactly: …` is spoken word for word; otherwise the model is told that it is its turn. */
  #createResponse(instructions: unknown): void {
    const wanted = /^\s*say(?: exactly)?\s*:\s*(.+)$/is.exec(String(instructions ?? ''))?.[1]?.trim();
    const text = wanted?.replace(/^["“](.*)["”]$/s, '$1');
    this.#finish('completed');
    this.#begin();
    const { id } = this.#response!;
    void this.#ready().then((moshi) => {
      if (!moshi) return;
      if (!text) return this.#input.whenHeard(() => moshi.endTurn());
      moshi.say(text).catch((error) => {
        this.#send({ type: 'error', error: { type: 'server_error', message: error.message } });
        if (this.#response?.id === id) this.#finish('failed');
      });
    });
  }

  #cancel(): void {
    if (!this.#response) throw new Error('there is no response to cancel');
    this.#finish('cancelled');
    this.#deaf = AFTERMATH_MS;
    void this.#moshi?.then((moshi) => moshi?.extensions.has('say') && moshi.interrupt());
  }

  #onText(text: string): void {
    if (this.#deaf > 0) return;
    if (!this.#response) this.#begin();
    this.#spoke = true;
    this.#quiet = 0;
    this.#wordless = 0;
    this.#response!.text(text);
  }

  #onAudio(pcm: Float32Array): void {
    const ms = (pcm.length / RATE) * 1000;
    const loud = rms(pcm) > VOICE_LEVEL;
    this.#deaf = Math.max(0, this.#deaf - ms);
    if (this.#deaf > 0) return;
    this.#quiet = loud ? 0 : this.#quiet + ms;
    this.#wordless += ms;
    if (!this.#response && loud && this.#wordless < WORDLESS_MS) this.#begin();
    if (!this.#response) return;
    this.#age += ms;
    this.#spoke ||= loud;
    this.#response.audio(this.#encode(pcm));
    const paused = this.#spoke && this.#quiet >= PAUSE_MS;
    if (paused || this.#wordless >= WORDLESS_MS || this.#age >= LONGEST_MS) this.#finish('completed');
  }

  #begin(): void {
    const item = newId('item');
    this.#response = new SpokenResponse(newId('resp'), item, this.#lastItem, (event) => this.#send(event));
    this.#lastItem = item;
    this.#age = this.#quiet = this.#wordless = 0;
    this.#spoke = false;
  }

  #finish(how: ResponseEnd): void {
    this.#response?.end(how);
    this.#response = undefined;
  }

  #fail(message: string): void {
    this.#finish('failed');
    this.#send({ type: 'error', error: { type: 'server_error', message } });
    this.#socket.close(1011, 'Moshi failed');
    this.#leaveMoshi();
  }

  #leaveMoshi(): void {
    this.#link.abort();
    this.#link = new AbortController();
    this.#moshi = undefined;
    this.#input.stop();
    this.#finish('cancelled');
  }

  #send(event: ServerEvent): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const shaped = this.#settings.beta ? asBeta(event) : event;
    if (shaped) this.#socket.send(JSON.stringify({ event_id: newId('event'), ...shaped }));
  }
}
