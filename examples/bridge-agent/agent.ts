import type { ServerSession } from '@moshi/server';
import { type ChatMessage, chat, missing, type OpenAiOptions, sentences, transcribe } from '../common/openai.ts';
import { SpeechDetector } from '../common/speech-detector.ts';

/** What the page shows of a stage; `ok` is idle. */
export type StageState = 'ok' | 'busy' | 'error';

/** How the agent answers. */
export interface AgentOptions {
  readonly openai: OpenAiOptions;
  /** What the agent is told about itself. */
  readonly systemPrompt: string;
  /** Stop speaking when the user begins to. */
  readonly bargeIn: boolean;
}

/** The mind behind one conversation: hears what the user types or says, asks the chat server, and has Moshi speak the answer. */
export class Agent {
  readonly #session: ServerSession;
  readonly #options: AgentOptions;
  readonly #history: ChatMessage[] = [];
  readonly #ears: SpeechDetector;
  /** The answer under way; aborting it stops the chat server and the voice. */
  #turn = new AbortController();
  #over = false;
  /** One answer after the other, so that the history stays in order. */
  #last: Promise<void> = Promise.resolve();

  constructor(session: ServerSession, options: AgentOptions) {
    this.#session = session;
    this.#options = options;
    this.#ears = new SpeechDetector({ keep: options.openai.transcribeModel !== undefined });
    // The text is a question for the agent, not something for Moshi to speak: it ends here.
    session.pipe({
      userText: (text) => {
        this.hear(text);
        return null;
      },
    });
    session.on('inputAudio', (pcm) => this.#listen(pcm));
    session.on('closed', () => {
      this.#over = true;
      this.#turn.abort();
    });
  }

  /** Takes what the user said, and answers; an answer under way is broken off. */
  hear(text: string): void {
    if (this.#over) return;
    this.stop();
    this.#last = this.#last.then(() => this.#answer(text));
  }

  /** Breaks off the answer under way. */
  stop(): void {
    this.#turn.abort();
    this.#turn = new AbortController();
  }

  #listen(pcm: Float32Array): void {
    const event = this.#ears.push(pcm);
    if (event?.type === 'started' && this.#options.bargeIn) {
      this.stop();
      this.#session.interrupt();
    } else if (event?.type === 'stopped' && this.#options.openai.transcribeModel) {
      void this.#understand(event.pcm);
    }
  }

  async #understand(speech: Float32Array): Promise<void> {
    this.#tell('hearing', 'busy', 'writing down what you said');
    try {
      const text = await transcribe(this.#options.openai, speech);
      this.#tell('hearing', 'ok', text ? 'understood' : 'no words in that');
      if (!text) return;
      this.#session.sendEvent('heard', { text });
      this.hear(text);
    } catch (error) {
      this.#tell('hearing', 'error', line(error));
    }
  }

  async #answer(question: string): Promise<void> {
    const { openai, systemPrompt } = this.#options;
    const { signal } = this.#turn;
    this.#history.push({ role: 'user', content: question });
    const spoken: Promise<string>[] = [];
    try {
      const lack = missing(openai);
      if (lack) throw new Error(lack);
      this.#tell('agent', 'busy', 'thinking');
      const messages = [{ role: 'system', content: systemPrompt } as const, ...this.#history];
      for await (const sentence of sentences(chat(openai, messages, signal))) {
        this.#tell('agent', 'busy', 'answering');
        spoken.push(this.#speak(sentence, signal));
      }
      this.#tell('agent', 'ok', 'ready');
    } catch (error) {
      if (signal.aborted) this.#tell('agent', 'ok', 'interrupted');
      else this.#tell('agent', 'error', line(error));
    }
    // What the user did not get to hear was never said: the next answer must not build on it.
    const heard = (await Promise.all(spoken)).filter(Boolean).join(' ');
    if (heard) this.#history.push({ role: 'assistant', content: heard });
    if (heard) this.#tell('speech', 'ok', signal.aborted ? 'interrupted' : 'quiet');
  }

  /** Resolves with what was really spoken. */
  async #speak(sentence: string, signal: AbortSignal): Promise<string> {
    this.#tell('speech', 'busy', 'speaking');
    try {
      const { text, completed } = await this.#session.say(sentence, { signal });
      // The client told Moshi to be quiet: the rest of the answer is not wanted either.
      if (!completed && signal === this.#turn.signal) this.stop();
      return text;
    } catch (error) {
      // What cannot be heard can at least be read.
      this.#session.sendEvent('unspoken', { text: sentence });
      this.#tell('speech', 'error', line(error));
      return '';
    }
  }

  /** Shows on the page where things are; other clients do not see it. */
  #tell(stage: 'agent' | 'speech' | 'hearing', state: StageState, message: string): void {
    this.#session.sendEvent('stage', { stage, state, message });
    if (state === 'error') console.error(`${stage}: ${message}`);
  }
}

function line(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
