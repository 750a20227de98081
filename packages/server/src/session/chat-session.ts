import { randomUUID } from 'node:crypto';
import type { ChatParameters, ControlAction } from '@moshi/protocol';
import { EventEmitter } from 'eventemitter3';
import type { Engine, SayOptions } from '../engine';
import { errorCode, errorMessage } from '../errors';
import type { Logger } from '../logger';
import type { ServerLimits } from '../options';
import { AudioInput } from './audio-input';
import { ClientSpeech } from './client-speech';
import { Conversation, type ConversationHooks } from './conversation';
import { Deadlines } from './deadlines';
import type { ExplainingSocket } from './explaining-socket';
import { checkEventName, engineOptions, greeting } from './extensions';
import { Heartbeat } from './heartbeat';
import { Inbox } from './inbox';
import { Outbox } from './outbox';
import { Pipes, type SessionPipe } from './pipe';
import { Reading } from './reading';
import { closeReason } from './refuse-socket';
import type { ServerSession, ServerSessionEvents, SessionEnd } from './server-session';
import type { SayResult } from './speech';
import type { SessionState, SessionStats } from './state';
import type { LineClient, WaitingLine } from './waiting-line';

/** What a session shares with the server it runs in. */
export interface SessionHost {
  engine: Engine;
  limits: ServerLimits;
  logger: Logger;
  line: WaitingLine;
  /** The engine failed in a way that is nobody's wish. */
  engineFailed(error: Error): void;
}

/** One client on `/api/chat`, from the open WebSocket to its end. */
export class ChatSession extends EventEmitter<ServerSessionEvents> implements ServerSession, LineClient {
  readonly id = randomUUID();
  readonly address: string;
  readonly parameters: Readonly<ChatParameters>;
  /** Resolves when the session is over and has given back its slot. */
  readonly done: Promise<void>;

  readonly #socket: ExplainingSocket;
  readonly #host: SessionHost;
  readonly #input = new AudioInput();
  readonly #reading: Reading;
  readonly #outbox: Outbox;
  readonly #heartbeat: Heartbeat;
  readonly #inbox: Inbox;
  readonly #stats = { framesIn: 0, framesOut: 0, textPieces: 0, brokenAudio: 0 };
  readonly #deadlines = new Deadlines();
  readonly #pipes = new Pipes();
  readonly #speech: ClientSpeech;
  #state: SessionState;
  #conversation: Conversation | undefined;
  #steps = 0;
  /** How it ended; set from the moment it does. */
  #end: SessionEnd | undefined;
  #finish!: () => void;
  readonly #finished: Promise<void>;
  #slot: Promise<void> = Promise.resolve();

  constructor(socket: ExplainingSocket, address: string, parameters: ChatParameters, host: SessionHost) {
    super();
    this.#socket = socket;
    this.#host = host;
    this.address = address;
    this.parameters = parameters;
    this.#state = { name: 'waiting', position: host.line.waiting + 1 };
    this.#finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.done = this.#finished.then(() => this.#slot);
    const { limits } = host;
    this.#reading = new Reading(socket, () => this.#deadlines.refresh());
    this.#outbox = new Outbox(socket, {
      limitBytes: limits.bufferedOutputBytes,
      slowMs: limits.slowReaderMs,
      onFull: (full) => {
        this.#reading.room('output', !full);
        if (!full) this.#conversation?.pump();
      },
      onSlow: () => this.#fail(1008, 'slow reader', `The audio was not read for ${limits.slowReaderMs} ms.`),
    });
    this.#speech = new ClientSpeech({
      pipes: this.#pipes,
      outbox: this.#outbox,
      extensions: parameters.extensions === true,
      onText: (text) => {
        this.#deadlines.refresh();
        this.emit('userText', text);
      },
      onSay: (event) => this.emit('say', event),
      onPending: () => this.#conversation?.speak(),
      onBroken: (error) => this.#broke(error),
    });
    this.#heartbeat = new Heartbeat(
      socket,
      limits.pingMs,
      () => this.#reading.stopped,
      () => {
        this.#log('warn', 'the client answers no pings, dropping it');
        socket.terminate();
      },
    );
    this.#inbox = new Inbox({
      audio: (bytes) => this.#audio(bytes),
      control: (action) => this.#control(action),
      text: (text) => this.#speech.text(text),
      request: (request) => this.#speech.request(request),
      refused: (message) => this.#outbox.send({ type: 'error', message }),
      ignored: (what, why) => this.#log('debug', `ignored ${what}`, why === undefined ? undefined : { why }),
    });
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (this.#end) return;
      this.#heartbeat.heard();
      this.#inbox.receive(data, isBinary);
    });
    socket.on('error', (error) => this.#socketFailed(error));
    socket.on('close', (code, reason) => this.#closed(code, reason.toString()));
  }

  get state(): SessionState {
    return this.#state;
  }

  get stats(): SessionStats {
    return { ...this.#stats, ignoredMessages: this.#inbox.ignored, droppedPages: this.#input.dropped };
  }

  /** Asks for a slot. */
  enter(): void {
    // A listener of the server's 'session' event may have closed it.
    if (this.#end) return;
    this.#log('info', 'client connected', { address: this.address });
    if (this.parameters.extensions) {
      this.#outbox.send({ type: 'metadata', data: greeting(this.#host.engine) });
    }
    this.#host.line.enter(this);
  }

  close(code = 1000, reason = 'closed by the server', message?: string): void {
    this.#finishWith(code, reason, message);
  }

  say(text: string, options: SayOptions & { signal?: AbortSignal } = {}): Promise<SayResult> {
    return this.#speech.say(text, options);
  }

  cancelSay(): void {
    this.#speech.cancel();
  }

  interrupt(): void {
    this.#speech.interrupt();
  }

  endTurn(): void {
    this.#conversation?.engine.endTurn?.();
  }

  pause(): void {
    if (this.#state.name !== 'live') return;
    this.#setState({ name: 'paused' });
    this.#conversation?.hold();
    this.#conversation?.engine.pause?.();
  }

  resume(): void {
    if (this.#state.name !== 'paused') return;
    this.#setState({ name: 'live' });
    this.#conversation?.engine.resume?.();
    this.#conversation?.resume();
  }

  async restart(): Promise<void> {
    const conversation = this.#conversation;
    if (!conversation || (this.#state.name !== 'live' && this.#state.name !== 'paused')) return;
    this.#setState({ name: 'prompting' });
    this.#speech.engine.restarting();
    try {
      await conversation.restart();
    } catch (error) {
      // A reset that a close has overtaken may fail.
      if (!this.#end) this.#engineFailed(error);
    }
    if (this.#end) return;
    this.#steps = 0;
    this.#speech.engine.restarted();
    this.#setState({ name: 'live' });
    this.#sendEvent('restarted');
    conversation.start(this.parameters.maxSteps);
    this.#speech.begin(conversation.engine);
  }

  pipe(hooks: SessionPipe): void {
    this.#pipes.add(hooks);
  }

  sendEvent(name: string, data?: unknown): void {
    checkEventName(name);
    if (!this.#end) this.#sendEvent(name, data);
  }

  moved(position: number): void {
    if (this.#end) return;
    this.#setState({ name: 'waiting', position });
    this.#sendEvent('waiting', { position });
  }

  admit(): void {
    this.#setState({ name: 'prompting' });
    this.#slot = this.#holdSlot();
  }

  /** Everything between getting a slot and giving it back. */
  async #holdSlot(): Promise<void> {
    const { engine, limits, line } = this.#host;
    try {
      const conversation = await Conversation.open(
        engine,
        engineOptions(this.parameters),
        this.#input,
        limits.bufferedInputMs,
        this.#hooks(),
      );
      this.#conversation = conversation;
      if (!this.#end) this.#begin(conversation);
      await this.#finished;
    } catch (error) {
      if (errorCode(error) !== 'ENGINE_FULL') {
        this.#refused(error);
      } else if (!this.#end) {
        line.comeBack(this);
        return;
      }
    }
    try {
      await this.#conversation?.close();
    } catch (error) {
      this.#engineFailed(error);
    }
    line.release();
  }

  #begin(conversation: Conversation): void {
    const { idleMs, sessionMs } = this.#host.limits;
    if (idleMs > 0) {
      const end = () => this.#fail(1008, 'idle', `No audio came for ${idleMs} ms: send silence while muted.`);
      this.#deadlines.idle(idleMs, () => this.#reading.stopped, end);
    }
    if (sessionMs > 0) {
      const end = () => this.#fail(1008, 'session limit', `A conversation here may last ${sessionMs} ms.`);
      this.#deadlines.after(sessionMs, end);
    }
    this.#outbox.send({ type: 'handshake' });
    this.#setState({ name: 'live' });
    conversation.start(this.parameters.maxSteps);
    this.#speech.begin(conversation.engine);
  }

  #hooks(): ConversationHooks {
    return {
      pipes: this.#pipes,
      speaking: () => this.#speech.pending,
      canSend: () => !this.#outbox.full,
      read: (on) => this.#reading.room('input', on),
      pushed: (pcm) => {
        this.#stats.framesIn++;
        this.emit('inputAudio', pcm);
      },
      sound: (pcm, pages) => {
        if (this.#end) return;
        this.#outbox.send({ type: 'audio', data: pages });
        this.#stats.framesOut++;
        this.emit('outputAudio', pcm);
      },
      text: (text) => {
        if (this.#end) return;
        this.#outbox.send({ type: 'text', text });
        this.#stats.textPieces++;
        this.emit('text', text);
      },
      stepped: () => this.#stepped(),
      said: (event) => this.#speech.engine.heard(event),
      broken: () => this.#brokenAudio(),
      failed: (error) => this.#engineFailed(error),
      broke: (error) => this.#broke(error),
    };
  }

  #stepped(): void {
    const { maxSteps } = this.parameters;
    if (this.#end || maxSteps === undefined || ++this.#steps < maxSteps) return;
    this.#finishWith(1000, 'step limit', `The conversation ended after ${maxSteps} steps, as asked with max_steps.`);
  }

  #audio(bytes: Uint8Array): void {
    this.#deadlines.refresh();
    if (this.#conversation) this.#conversation.write(bytes);
    else if (this.#input.drop(bytes)) this.#brokenAudio();
  }

  #control(action: ControlAction): void {
    const { name } = this.#state;
    const conversation = this.#conversation;
    if (!conversation || (name !== 'live' && name !== 'paused')) {
      this.#inbox.ignore(`${action} while ${name}`);
      return;
    }
    this.#log('debug', `control: ${action}`);
    if (action === 'pause') this.pause();
    else if (action === 'start') this.resume();
    else if (action === 'restart') void this.restart();
    else this.endTurn();
  }

  #brokenAudio(): void {
    if (this.#stats.brokenAudio++ > 0 || this.#end) return;
    this.#log('warn', 'the incoming Ogg Opus stream is broken');
    this.#outbox.send({
      type: 'error',
      message: 'The Ogg Opus stream is broken: what could not be read was left out.',
    });
  }

  #refused(error: unknown): void {
    if (errorCode(error) === 'ENGINE_BAD_OPTION') this.#fail(1008, 'bad option', errorMessage(error));
    else this.#engineFailed(error);
  }

  #engineFailed(error: unknown): void {
    const cause = error instanceof Error ? error : new Error(String(error));
    this.#log('error', `the engine failed: ${errorMessage(error)}`, { error: cause });
    this.#host.engineFailed(cause);
    this.#finishWith(1011, 'engine error', `The engine failed: ${errorMessage(error)}`);
  }

  #fail(code: number, reason: string, message: string): void {
    this.#log('warn', message, { code, reason });
    this.#finishWith(code, reason, message);
  }

  #broke(error: unknown): void {
    this.#log('error', `passing sound or text on failed: ${errorMessage(error)}`, { error });
    this.#finishWith(1011, 'server error', `The server failed to pass sound or text on: ${errorMessage(error)}`);
  }

  /** The peer broke the WebSocket rules (or a limit); ws has sent the close frame already. */
  #socketFailed(error: Error): void {
    this.#log('warn', `WebSocket error: ${errorMessage(error)}`);
    if (this.#end) return;
    const { code, reason } = this.#socket.violation ?? { code: 1006, reason: 'connection lost' };
    this.#stop(code, reason);
  }

  #finishWith(code: number, reason: string, message?: string): void {
    if (this.#end) return;
    if (message !== undefined) this.#outbox.send({ type: 'error', message });
    this.#socket.close(code, closeReason(reason));
    this.#stop(code, reason);
  }

  /** Ends all activity and lets go of the slot or of the place in the line. */
  #stop(code: number, reason: string): void {
    this.#end = { code, reason };
    this.#deadlines.clear();
    this.#deadlines.after(this.#host.limits.closeMs, () => this.#socket.terminate());
    this.#speech.end();
    this.#reading.end();
    this.#heartbeat.stop();
    this.#outbox.stop();
    this.#host.line.leave(this);
    this.#finish();
    this.#setState({ name: 'closing', code, reason });
  }

  #closed(code: number, reason: string): void {
    if (!this.#end) this.#stop(code, reason);
    this.#deadlines.clear();
    // What we closed for says more than the echo of the close frame.
    const end = this.#end ?? { code, reason };
    this.#setState({ name: 'closed', ...end });
    this.#log('info', 'session over', { ...end, ...this.stats });
    this.emit('closed', end);
  }

  #sendEvent(name: string, data?: unknown): void {
    if (this.parameters.extensions) this.#outbox.send({ type: 'event', name, data });
  }

  #setState(state: SessionState): void {
    this.#state = state;
    this.emit('state', state);
  }

  #log(level: keyof Logger, message: string, fields?: Record<string, unknown>): void {
    this.#host.logger[level](message, { session: this.id, ...fields });
  }
}
