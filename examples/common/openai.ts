// The two calls of an OpenAI-compatible server that the examples need, by fetch: answers, and what somebody said.
import { writeWav } from '@moshi/protocol/audio';

/** One turn of a chat. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** Where the server is and which models it has. */
export interface OpenAiOptions {
  /** Default `https://api.openai.com/v1`; Ollama, llama.cpp, vLLM and others have the same routes. */
  readonly baseUrl: string;
  /** Sent as a bearer token; local servers need none. */
  readonly key?: string;
  readonly chatModel: string;
  /** Model of `/audio/transcriptions`; left out: speech is not written down. */
  readonly transcribeModel?: string;
}

/** Reads OPENAI_BASE_URL, OPENAI_API_KEY, CHAT_MODEL and TRANSCRIBE_MODEL. */
export function openAiFromEnv(env: NodeJS.ProcessEnv = process.env): OpenAiOptions {
  return {
    baseUrl: (env.OPENAI_BASE_URL || OPENAI).replace(/\/+$/, ''),
    key: env.OPENAI_API_KEY || undefined,
    chatModel: env.CHAT_MODEL || 'gpt-4o-mini',
    transcribeModel: env.TRANSCRIBE_MODEL || undefined,
  };
}

const OPENAI = 'https://api.openai.com/v1';
/** Up to a mark followed by white space ("3.14" ends nothing), and not too short ("Dr." ends nothing either), or a line. */
const SENTENCE = /^(?:[^\n]{12,}?[.!?…]["')\]]*\s|[^\n]*\n)/;

/** What is missing before any call can work, as a line for people; undefined when nothing is. */
export function missing({ baseUrl, key }: OpenAiOptions): string | undefined {
  if (key || baseUrl !== OPENAI) return undefined;
  return 'No key: set OPENAI_API_KEY, or OPENAI_BASE_URL to a server that needs none.';
}

/** Streams the answer to a chat in the pieces it comes in. Rejects with one line that says what the server said. */
export async function* chat(
  options: OpenAiOptions,
  messages: readonly ChatMessage[],
  signal?: AbortSignal,
): AsyncGenerator<string> {
  const body = JSON.stringify({ model: options.chatModel, messages, stream: true });
  const response = await call(options, '/chat/completions', body, { 'content-type': 'application/json' }, signal);
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const data = line.startsWith('data:') ? line.slice(5).trim() : '';
      if (data === '' || data === '[DONE]') continue;
      const { choices, error } = JSON.parse(data);
      if (error) throw new Error(`the chat server stopped: ${error.message ?? data}`);
      if (choices?.[0]?.delta?.content) yield choices[0].delta.content;
    }
  }
}

/** What was said in 24 kHz mono PCM; '' when the server heard no words. */
export async function transcribe(options: OpenAiOptions, pcm: Float32Array, signal?: AbortSignal): Promise<string> {
  const form = new FormData();
  form.set('model', options.transcribeModel!);
  form.set('file', new Blob([writeWav(pcm) as Uint8Array<ArrayBuffer>], { type: 'audio/wav' }), 'speech.wav');
  const response = await call(options, '/audio/transcriptions', form, {}, signal);
  const { text = '' } = (await response.json()) as { text?: string };
  return text.trim();
}

/** Cuts a stream of text into whole sentences, so that the first can be spoken while the others are being thought of. */
export async function* sentences(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let text = '';
  for await (const piece of pieces) {
    text += piece;
    for (let end = SENTENCE.exec(text); end; end = SENTENCE.exec(text)) {
      text = text.slice(end[0].length);
      if (end[0].trim()) yield end[0].trim();
    }
  }
  if (text.trim()) yield text.trim();
}

async function call(
  { baseUrl, key }: OpenAiOptions,
  path: string,
  body: BodyInit,
  headers: Record<string, string>,
  signal?: AbortSignal,
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(baseUrl + path, {
      method: 'POST',
      body,
      headers: { ...headers, ...(key && { authorization: `Bearer ${key}` }) },
      signal,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Error(`${baseUrl} cannot be reached: check OPENAI_BASE_URL`, { cause });
  }
  if (response.ok) return response;
  const text = (await response.text()).slice(0, 500);
  let said = text;
  try {
    said = JSON.parse(text).error?.message ?? text;
  } catch {
    // Not JSON: the text itself is what there is to show.
  }
  throw new Error(`${baseUrl}${path} answered ${response.status}: ${said.split('\n')[0]}`);
}
