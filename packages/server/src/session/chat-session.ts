import { randomUUID } from 'node:crypto';
import { type ChatParameters, type ControlAction, TextAssembler } from '@moshi/protocol';
import { EventEmitter } from 'eventemitter3';
import type { Engine, EngineFrame, EngineSessionOptions } from '../engine';
import { errorCode, errorMessage } from '../errors';
import type { Logger } from '../logger';
import type { ServerLimits } from '../options';
import { version } from '../version';
import { AudioInput } from './audio-input';
import { Conversation, type ConversationHooks } from './conversation';
import type { ExplainingSocket } from './explaining-socket';
import { Heartbeat } from './heartbeat';
import { Inbox } from './inbox';
import { Outbox } from './outbox';
import { closeReason } from './refuse-socket';
import type { ServerSession, ServerSessionEvents, SessionEnd } from './server-session';
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

/** What the server adds to the protocol for clients that ask with `?extensions=1`. */
export const extensions: readonly string[] = ['waiting', 'control', 'restarted'];

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
  readonly #outbox: Outbox;
  readonly #heartbeat: Heartbeat;
  readonly #inbox: Inbox;
  readonly #stats = { framesIn: 0, framesOut: 0, textPieces: 0, brokenAudio: 0 };
  readonly #text = new TextAssembler();
  readonly #timers = new Set<NodeJS.Timeout>();
  #state: SessionState;
  #conversation: Conversation | undefined;
  #idle: NodeJS.Timeout | undefined;
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
    this.#outbox = new Outbox(socket, {
      limitBytes: limits.bufferedOutputBytes,
      slowMs: limits.slowReaderMs,
      onDrained: () => this.#conversation?.pump(),
      onSlow: () => this.#fail(1008, 'slow reader', `The audio was not read for ${limits.slowReaderMs} ms.`),
    });
    this.#heartbeat = new Heartbeat(
      socket,
      limits.pingMs,
      () => this.#conversation?.full === true,
      () => {
        this.#log('warn', 'the client answers no pings, dropping it');
        socket.terminate();
      },
    );
    this.#inbox = new Inbox({
      audio: (bytes) => this.#audio(bytes),
      control: (action) => this.#control(action),
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
      this.#outbox.send({
        type: 'metadata',
        data: { server: 'moshi-js', version, extensions, ...this.#host.engine.info },
      });
    }
    this.#host.line.enter(this);
  }

  close(code = 1000, reason = 'closed by the server', message?: string): void {
    this.#finishWith(code, reason, message);
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
    if (idleMs > 0) this.#startIdle(idleMs);
    if (sessionMs > 0) {
      const end = () => this.#fail(1008, 'session limit', `A conversation here may last ${sessionMs} ms.`);
      this.#timers.add(setTimeout(end, sessionMs));
    }
    this.#outbox.send({ type: 'handshake' });
    this.#setState({ name: 'live' });
    conversation.start(this.parameters.maxSteps);
  }

  #hooks(): ConversationHooks {
    return {
      canSend: () => !this.#outbox.full,
      read: (on) => {
        if (this.#end) return;
        if (on) this.#socket.resume();
        else this.#socket.pause();
        // The client had no chance to be heard while we did not read.
        if (on) this.#idle?.refresh();
      },
      pushed: (pcm) => {
        this.#stats.framesIn++;
        this.emit('inputAudio', pcm);
      },
      answered: (frame, audio) => this.#answer(frame, audio),
      broken: () => this.#brokenAudio(),
      failed: (error) => this.#engineFailed(error),
    };
  }

  #answer({ pcm, text }: EngineFrame, audio: Uint8Array | undefined): void {
    if (this.#end) return;
    if (pcm && audio) {
      this.#outbox.send({ type: 'audio', data: audio });
      this.#stats.framesOut++;
      this.emit('outputAudio', pcm);
    }
    if (text) {
      this.#outbox.send({ type: 'text', text });
      this.#stats.textPieces++;
      this.#emitText(this.#text.push(text));
    }
    const { maxSteps } = this.parameters;
    if (maxSteps !== undefined && ++this.#steps >= maxSteps) {
      this.#finishWith(1000, 'step limit', `The conversation ended after ${maxSteps} steps, as asked with max_steps.`);
    }
  }

  #audio(bytes: Uint8Array): void {
    this.#idle?.refresh();
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
    if (action === 'pause' && name === 'live') {
      this.#setState({ name: 'paused' });
      conversation.hold();
    } else if (action === 'start' && name === 'paused') {
      this.#setState({ name: 'live' });
      conversation.resume();
    } else if (action === 'restart') {
      void this.#restart(conversation);
    }
  }

  async #restart(conversation: Conversation): Promise<void> {
    this.#setState({ name: 'prompting' });
    try {
      await conversation.restart();
    } catch (error) {
      // A reset that a close has overtaken may fail.
      if (!this.#end) this.#engineFailed(error);
    }
    if (this.#end) return;
    this.#steps = 0;
    this.#emitText(this.#text.flush());
    this.#setState({ name: 'live' });
    this.#sendEvent('restarted');
    conversation.start(this.parameters.maxSteps);
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

  #startIdle(idleMs: number): void {
    this.#idle = setTimeout(() => {
      // Not reading is our doing, not the client's silence.
      if (this.#conversation?.full) this.#idle?.refresh();
      else this.#fail(1008, 'idle', `No audio came for ${idleMs} ms: send silence while muted.`);
    }, idleMs);
    this.#timers.add(this.#idle);
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
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.add(setTimeout(() => this.#socket.terminate(), this.#host.limits.closeMs));
    // The client's answer to the close frame can only be seen while reading.
    this.#socket.resume();
    this.#heartbeat.stop();
    this.#outbox.stop();
    this.#host.line.leave(this);
    this.#finish();
    this.#emitText(this.#text.flush());
    this.#setState({ name: 'closing', code, reason });
  }

  #closed(code: number, reason: string): void {
    if (!this.#end) this.#stop(code, reason);
    for (const timer of this.#timers) clearTimeout(timer);
    // What we closed for says more than the echo of the close frame.
    const end = this.#end ?? { code, reason };
    this.#setState({ name: 'closed', ...end });
    this.#log('info', 'session over', { ...end, ...this.stats });
    this.emit('closed', end);
  }

  #emitText(text: string): void {
    if (text) this.emit('text', text);
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

/** The query parameters that are the engine's business. */
function engineOptions(parameters: ChatParameters): EngineSessionOptions {
  const { email, workerAuthId, extensions: _, maxSteps, ...options } = parameters;
  return options;
}
