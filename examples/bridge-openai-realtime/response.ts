import type { ConversationItem, RealtimeResponse, RealtimeServerEvent } from 'openai/resources/realtime/realtime';

/** A server event whose id is still to be given. */
export type ServerEvent = RealtimeServerEvent extends infer Event
  ? Event extends unknown
    ? Omit<Event, 'event_id'>
    : never
  : never;

/** How a response ended. */
export type ResponseEnd = 'completed' | 'cancelled' | 'failed';

/** One response: the events from `response.created` to `response.done`, in the order clients expect them. */
export class SpokenResponse {
  readonly id: string;
  readonly #send: (event: ServerEvent) => void;
  readonly #place: { response_id: string; item_id: string; output_index: 0; content_index: 0 };
  #transcript = '';

  constructor(id: string, itemId: string, previousItem: string | null, send: (event: ServerEvent) => void) {
    this.id = id;
    this.#send = send;
    this.#place = { response_id: id, item_id: itemId, output_index: 0, content_index: 0 };
    const item = this.#item('in_progress');
    send({ type: 'response.created', response: this.#describe('in_progress') });
    send({ type: 'response.output_item.added', response_id: id, output_index: 0, item });
    send({ type: 'conversation.item.added', previous_item_id: previousItem, item });
    send({ type: 'response.content_part.added', ...this.#place, part: { type: 'audio', transcript: '' } });
  }

  /** More of what is said. */
  text(delta: string): void {
    this.#transcript += delta;
    this.#send({ type: 'response.output_audio_transcript.delta', ...this.#place, delta });
  }

  /** More of how it sounds, in the session's output format. */
  audio(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#send({ type: 'response.output_audio.delta', ...this.#place, delta: Buffer.from(bytes).toString('base64') });
  }

  end(how: ResponseEnd): void {
    const { response_id, output_index } = this.#place;
    const item = this.#item(how === 'completed' ? 'completed' : 'incomplete');
    const transcript = this.#transcript.trim();
    this.#send({ type: 'response.output_audio.done', ...this.#place });
    this.#send({ type: 'response.output_audio_transcript.done', ...this.#place, transcript });
    this.#send({ type: 'response.content_part.done', ...this.#place, part: { type: 'audio', transcript } });
    this.#send({ type: 'response.output_item.done', response_id, output_index, item });
    this.#send({ type: 'conversation.item.done', item });
    this.#send({ type: 'response.done', response: this.#describe(how) });
  }

  #item(status: 'in_progress' | 'completed' | 'incomplete'): ConversationItem {
    const content =
      status === 'in_progress' ? [] : [{ type: 'output_audio' as const, transcript: this.#transcript.trim() }];
    return { id: this.#place.item_id, object: 'realtime.item', type: 'message', role: 'assistant', status, content };
  }

  #describe(status: ResponseEnd | 'in_progress'): RealtimeResponse {
    const common = { id: this.id, object: 'realtime.response' as const, status, output_modalities: ['audio' as const] };
    if (status === 'in_progress') return { ...common, output: [] };
    const reason = status === 'cancelled' ? { reason: 'client_cancelled' as const } : {};
    const output = [this.#item(status === 'completed' ? 'completed' : 'incomplete')];
    return { ...common, output, status_details: { type: status, ...reason } };
  }
}

const BETA_NAMES: Readonly<Record<string, string>> = {
  'response.output_audio.delta': 'response.audio.delta',
  'response.output_audio.done': 'response.audio.done',
  'response.output_audio_transcript.delta': 'response.audio_transcript.delta',
  'response.output_audio_transcript.done': 'response.audio_transcript.done',
  'conversation.item.added': 'conversation.item.created',
};

/** The event as the API's beta had it; undefined for events it did not have. */
export function asBeta(event: ServerEvent): object | undefined {
  if (event.type === 'conversation.item.done') return undefined;
  const text = JSON.stringify({ ...event, type: BETA_NAMES[event.type] ?? event.type });
  return JSON.parse(text.replaceAll('"type":"output_audio"', '"type":"audio"'));
}
