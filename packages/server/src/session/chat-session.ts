import { randomUUID } from 'node:crypto';
import { type ChatParameters, type ControlAction, type ResumeRefusal, resumeEvent } from '@moshi/protocol';
import { EventEmitter } from 'eventemitter3';
import type { Engine, SayOptions } from '../engine';
import { errorCode, errorMessage } from '../errors';
import type { Logger } from '../logger';
import type { ServerLimits } from '../options';
import { AudioInput } from './audio-input';
import { BehindWatch } from './behind-watch';
import { ClientSpeech } from './client-speech';
import { Conversation, type ConversationHooks } from './conversation';
import { Deadlines } from './deadlines';
import type { ExplainingSocket } from './explaining-socket';
import { checkEventName, engineOptions, greeting } from './extensions';
import { Failures } from './failures';
import { Inbox } from './inbox';
import { Lifeline } from './lifeline';
import { Pipes, type SessionPipe } from './pipe';
import type { Resumption } from './resumption';
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
  resumption: Resumption<ChatSession>;
  /** The engine failed in a way that is nobody's wish. */
  engineFailed(error: Error): void;
}

/** One client on `/api/chat`, from the open WebSocket to its end, or to that of the last one it comes back with. */
export class ChatSession extends EventEmitter<ServerSessionEvents> implements ServerSession, LineClient {
  readonly id = randomUUID();
  address: string;
  readonly parameters: Readonly<ChatParameters>;
  /** Resolves when the session is over and has given back its slot. */
  readonly done: Promise<void>;

  readonly #host: SessionHost;
  readonly #input = new AudioInput();
  readonly #lifeline: Lifeline;
  readonly #inbox: Inbox;
  readonly #stats = { framesIn: 0, framesOut: 0, textPieces: 0, brokenAudio: 0 };
  readonly #deadlines = new Deadlines();
  readonly #pipes = new Pipes();
  readonly #speech: ClientSpeech;
  readonly #failures = new Failures({
    log: (level, message, fields) => this.#log(level, message, fields),
    engineFailed: (error) => this.#host.engineFailed(error),
    finish: (code, reason, message) => this.#finishWith(code, reason, message),
  });
  #state: SessionState;
  #away: Extract<SessionState, { name: 'detached' }> | undefined;
  #conversation: Conversation | undefined;
  #steps = 0;
  /** How it ended; set from the moment it does. */
  #end: SessionEnd | undefined;
  #finish!: () => void;
  #unwatch: () => void = () => {};
  readonly #finished: Promise<void>;
  #slot: Promise<void> = Promise.resolve();

  constructor(socket: ExplainingSocket, address: string, parameters: ChatParameters, host: SessionHost) {
    super();
    this.#host = host;
    this.address = address;
    this.parameters = parameters;
    this.#state = { name: 'waiting', position: host.line.waiting + 1 };
    this.#finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.done = this.#finished.then(() => this.#slot);
    this.#lifeline = this.#hang(socket);
    this.#speech = new ClientSpeech({
      pipes: this.#pipes,
      send: (message) => this.#lifeline.send(message),
      extensions: parameters.extensions === true,
      onText: (text) => {
        this.#deadlines.refresh();
        this.emit('userText', text);
      },
      onSay: (event) => this.emit('say', event),
      onPending: () => this.#conversation?.speak(),
      onBroken: (error) => this.#failures.passing(error),
    });
    this.#inbox = new Inbox({
      audio: (bytes) => this.#audio(bytes),
      control: (action) => this.#control(action),
      text: (text) => this.#speech.text(text),
      request: (request) => this.#speech.request(request),
      refused: (message) => this.#lifeline.send({ type: 'error', message }),
      ignored: (what, why) => this.#log('debug', `ignored ${what}`, why === undefined ? undefined : { why }),
    });
  }

  get state(): SessionState {
    return this.#away ?? this.#state;
  }

  get stats(): SessionStats {
    return { ...this.#stats, ignoredMessages: this.#inbox.ignored, droppedPages: this.#input.dropped };
  }

  /** Asks for a slot; `refusal` is why the client cannot have the conversation it came back for. */
  enter(refusal?: ResumeRefusal): void {
    // A listener of the server's 'session' event may have closed it.
    if (this.#end) return;
    this.#log('info', 'client connected', { address: this.address });
    if (this.parameters.extensions) {
      this.#lifeline.send({ type: 'metadata', data: this.#greeting() });
      if (refusal) this.#lifeline.send(resumeEvent({ name: 'not-resumed', reason: refusal }));
    }
    this.#host.line.enter(this);
  }

  /** The client is back on another socket, having received so many messages. False when too many are missing: it is over then. */
  attach(socket: ExplainingSocket, address: string, received: number): boolean {
    this.#input.renew();
    if (!this.#lifeline.attach(socket, received, this.#input.heard, this.#greeting())) {
      this.#log('warn', 'the client missed more than is kept');
      this.#lifeline.drop();
      this.#stop(1006, 'connection lost');
      return false;
    }
    this.address = address;
    this.#log('info', 'client back', { address, received });
    this.#away = undefined;
    this.#deadlines.refresh();
    this.emit('state', this.#state);
    this.#conversation?.reconnected();
    return true;
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
      if (!this.#end) this.#failures.engine(error);
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
        this.#failures.refused(error);
      } else if (!this.#end) {
        line.comeBack(this);
        return;
      }
    }
    try {
      await this.#conversation?.close();
    } catch (error) {
      this.#failures.engine(error);
    }
    line.release();
  }

  #begin(conversation: Conversation): void {
    const end = (reason: string, message: string) => this.#failures.client(1008, reason, message);
    this.#deadlines.begin(this.#host.limits, () => this.#lifeline.deaf, end);
    this.#lifeline.shakeHands();
    const watch = new BehindWatch((ms) => this.#sendEvent('behind', { ms }));
    this.#unwatch = watch.start(() => (this.#away ? 0 : conversation.waitingMs));
    this.#setState({ name: 'live' });
    conversation.start(this.parameters.maxSteps);
    this.#speech.begin(conversation.engine);
  }

  #hooks(): ConversationHooks {
    return {
      pipes: this.#pipes,
      speaking: () => this.#speech.pending,
      canSend: () => !this.#lifeline.full,
      read: (on) => this.#lifeline.read(on),
      pushed: (pcm) => {
        this.#stats.framesIn++;
        this.emit('inputAudio', pcm);
      },
      sound: (pcm, pages) => {
        if (this.#end) return;
        this.#lifeline.send({ type: 'audio', data: pages });
        this.#stats.framesOut++;
        this.emit('outputAudio', pcm);
      },
      text: (text) => {
        if (this.#end) return;
        this.#lifeline.send({ type: 'text', text });
        this.#stats.textPieces++;
        this.emit('text', text);
      },
      stepped: () => this.#stepped(),
      said: (event) => this.#speech.engine.heard(event),
      broken: () => this.#brokenAudio(),
      failed: (error) => this.#failures.engine(error),
      broke: (error) => this.#failures.passing(error),
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
    this.#lifeline.send({
      type: 'error',
      message: 'The Ogg Opus stream is broken: what could not be read was left out.',
    });
  }

  #finishWith(code: number, reason: string, message?: string): void {
    if (this.#end) return;
    if (message !== undefined) this.#lifeline.send({ type: 'error', message });
    this.#lifeline.close(code, reason);
    this.#stop(code, reason);
  }

  /** Ends all activity and lets go of the slot or of the place in the line. */
  #stop(code: number, reason: string, expired = false): void {
    this.#end = { code, reason };
    this.#away = undefined;
    this.#deadlines.clear();
    this.#unwatch();
    this.#speech.end();
    this.#host.resumption.end(this, expired);
    this.#host.line.leave(this);
    const connected = this.#lifeline.end();
    this.#finish();
    this.#setState({ name: 'closing', code, reason });
    if (!connected) this.#closed(this.#end);
  }

  #closed(end: SessionEnd, expired = false): void {
    if (!this.#end) {
      this.#stop(end.code, end.reason, expired);
      if (this.#state.name === 'closed') return;
    }
    // What we closed for says more than the echo of the close frame.
    const said = this.#end ?? end;
    this.#setState({ name: 'closed', ...said });
    this.#log('info', 'session over', { ...said, ...this.stats });
    this.emit('closed', said);
  }

  #hang(socket: ExplainingSocket): Lifeline {
    const { limits, resumption } = this.#host;
    return new Lifeline(socket, limits, this.#resumes, {
      message: (data, isBinary) => this.#inbox.receive(data, isBinary),
      full: (full) => full || this.#conversation?.pump(),
      slow: () => this.#failures.client(1008, 'slow reader', `The audio was not read for ${limits.slowReaderMs} ms.`),
      readAgain: () => this.#deadlines.refresh(),
      dead: () => this.#log('warn', 'the client answers no pings, dropping it'),
      violated: ({ code, reason }, error) => {
        this.#log('warn', `WebSocket error: ${errorMessage(error)}`);
        if (!this.#end) this.#stop(code, reason);
      },
      token: () => resumption.offer(this),
      confirmed: () => resumption.confirm(this),
      away: (until) => {
        this.#log('info', 'connection lost, keeping the conversation', { ms: until - Date.now() });
        this.#away = { name: 'detached', until };
        this.emit('state', this.#away);
      },
      closed: (end, expired) => this.#closed(end, expired),
    });
  }

  /** Whether the client can come back after a loss. */
  get #resumes(): boolean {
    return this.parameters.extensions === true && this.#host.limits.resumeMs > 0;
  }

  #greeting(): unknown {
    return greeting(this.#host.engine, this.#resumes);
  }

  #sendEvent(name: string, data?: unknown): void {
    if (this.parameters.extensions) this.#lifeline.send({ type: 'event', name, data });
  }

  #setState(state: SessionState): void {
    this.#state = state;
    if (!this.#away) this.emit('state', state);
  }

  #log(level: keyof Logger, message: string, fields?: Record<string, unknown>): void {
    this.#host.logger[level](message, { session: this.id, ...fields });
  }
}
