import { muLaw, pcm16, Resampler } from '@moshi/protocol/audio';
import type { RealtimeSessionCreateRequest } from 'openai/resources/realtime/realtime';

/** Audio formats of the Realtime API that are spoken here. */
export type Format = 'audio/pcm' | 'audio/pcmu';

/** What `session.update` can set and what means something to Moshi; all else is taken and ignored. */
export interface Settings {
  readonly model: string;
  /** Becomes Moshi's text prompt. */
  readonly instructions: string;
  /** Becomes Moshi's voice. */
  readonly voice: string;
  readonly input: Format;
  readonly output: Format;
  /** Whether the bridge says when the user starts and stops to speak. */
  readonly turnDetection: boolean;
  /** Talk to the client in the events and shapes of the API's beta. */
  readonly beta: boolean;
}

const FORMATS: Readonly<Record<string, Format>> = {
  'audio/pcm': 'audio/pcm',
  pcm16: 'audio/pcm',
  'audio/pcmu': 'audio/pcmu',
  g711_ulaw: 'audio/pcmu',
};

/** Loose types, because this comes from outside: the shape of the API's general release, and the flat one of its beta. */
interface Update {
  type?: unknown;
  instructions?: unknown;
  voice?: unknown;
  input_audio_format?: unknown;
  output_audio_format?: unknown;
  turn_detection?: unknown;
  audio?: {
    input?: { format?: { type?: unknown } | string; turn_detection?: unknown };
    output?: { format?: { type?: unknown } | string; voice?: unknown };
  };
}

/** Applies the `session` of a session.update. Throws an Error for a format or a kind of session that is not spoken here. */
export function update(old: Settings, session: Update): Settings {
  if (session.type !== undefined && session.type !== 'realtime') {
    throw new Error(`session.type is ${JSON.stringify(session.type)}: only "realtime" works here`);
  }
  const { input, output } = session.audio ?? {};
  const turns = input?.turn_detection !== undefined ? input.turn_detection : session.turn_detection;
  const voice = output?.voice ?? session.voice;
  return {
    model: old.model,
    instructions: typeof session.instructions === 'string' ? session.instructions : old.instructions,
    voice: typeof voice === 'string' ? voice : old.voice,
    input: format(input?.format ?? session.input_audio_format) ?? old.input,
    output: format(output?.format ?? session.output_audio_format) ?? old.output,
    turnDetection: turns === undefined ? old.turnDetection : turns !== null,
    // The flat shape has no type; the other one must have it.
    beta: old.beta || (session.type === undefined && session.audio === undefined),
  };
}

function format(given: { type?: unknown } | unknown): Format | undefined {
  if (given === undefined || given === null) return undefined;
  const name = typeof given === 'object' ? (given as { type?: unknown }).type : given;
  const known = FORMATS[String(name)];
  if (!known) throw new Error(`audio format ${JSON.stringify(name)} is not spoken here: use audio/pcm or audio/pcmu`);
  return known;
}

/** The session as the client gets to see it. */
export function describe(id: string, settings: Settings): RealtimeSessionCreateRequest {
  const { model, instructions, voice, turnDetection, beta } = settings;
  const turn_detection = turnDetection ? { type: 'server_vad' as const } : null;
  if (beta) {
    const short = (name: Format) => (name === 'audio/pcm' ? 'pcm16' : 'g711_ulaw');
    const flat = {
      id,
      object: 'realtime.session',
      model,
      modalities: ['audio', 'text'],
      instructions,
      voice,
      turn_detection,
    };
    return { ...flat, input_audio_format: short(settings.input), output_audio_format: short(settings.output) } as never;
  }
  const full = (type: Format) => (type === 'audio/pcm' ? { type, rate: 24000 as const } : { type });
  const audio = {
    input: { format: full(settings.input), turn_detection },
    output: { format: full(settings.output), voice },
  };
  const known = {
    id,
    object: 'realtime.session',
    type: 'realtime' as const,
    model,
    output_modalities: ['audio' as const],
  };
  return { ...known, instructions, audio };
}

/** Turns the client's bytes into Moshi's samples. */
export function decoder(name: Format): (bytes: Uint8Array) => Float32Array {
  if (name === 'audio/pcm') return (bytes) => pcm16.decode(bytes);
  const resampler = new Resampler(8000, 24_000);
  return (bytes) => resampler.push(muLaw.decode(bytes));
}

/** Turns Moshi's samples into the client's bytes. */
export function encoder(name: Format): (pcm: Float32Array) => Uint8Array {
  if (name === 'audio/pcm') return (pcm) => pcm16.encode(pcm);
  const resampler = new Resampler(24_000, 8000);
  return (pcm) => muLaw.encode(resampler.push(pcm));
}
