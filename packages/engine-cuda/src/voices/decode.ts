import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { concat, Resampler, readWav } from '@moshi/protocol/audio';
import { EngineError } from '../errors';
import { systemCode } from '../hub/errors';
import { type AudioFormat, formatOf, openDecoder } from './formats';
import { shown } from './names';

/** Bounds of a recording that is to be a voice; loudness is measured over 0.4 s and not told of less. */
export const VOICE_LIMITS = {
  fileBytes: 200e6,
  minSeconds: 0.4,
  maxSeconds: 60,
  advice: 'a voice of 5 to 15 seconds is enough',
};

const RATE = 24_000;
/** Those a WAV may have: beyond them, changing the rate is no small work. */
const MIN_RATE = 8000;
const MAX_RATE = 192_000;
/** Below this, -60 dB of full scale, nothing is a voice. */
const SILENCE_PEAK = 1e-3;
/** Bytes decoded before others get their turn; small for formats in which few bytes can stand for much silence. */
const CHUNK_BYTES = 4096;
const CHUNKS_A_TURN = 16;

/**
 * The sound of a recording as 24 kHz mono, -1 to 1: WAV, FLAC, MP3, Ogg or Opus, told by content and not by name; channels are
 * mixed. Rejects `ENGINE_BAD_FILE` for anything else, and for recordings that are silent, shorter than 0.4 s or longer than 60 s.
 */
export async function decodeVoice(path: string, limits = VOICE_LIMITS): Promise<Float32Array> {
  const bytes = await readLimited(path, limits);
  const format = formatOf(bytes);
  if (format === undefined) {
    throw bad(path, 'it is no WAV, FLAC, MP3, Ogg or Opus file: convert it, for example with: ffmpeg -i IN OUT.wav');
  }
  const { pcm, rate } = format === 'wav' ? readWavFile(path, bytes) : await decode(path, bytes, format, limits);
  const seconds = rate > 0 ? pcm.length / rate : 0;
  if (seconds > limits.maxSeconds) throw tooLong(path, limits);
  if (seconds < limits.minSeconds) throw bad(path, `it has ${seconds.toFixed(2)} seconds of sound: ${limits.advice}`);
  if (!pcm.some((sample) => Math.abs(sample) > SILENCE_PEAK)) throw bad(path, 'it is silent: record it again');
  return rate === RATE ? pcm : await resampled(pcm, rate);
}

function readWavFile(path: string, bytes: Uint8Array): { pcm: Float32Array; rate: number } {
  try {
    const { pcm, sampleRate } = readWav(bytes);
    return { pcm, rate: sampleRate };
  } catch (error) {
    throw bad(path, (error as Error).message, error);
  }
}

async function decode(
  path: string,
  bytes: Uint8Array,
  format: Exclude<AudioFormat, 'wav'>,
  limits: typeof VOICE_LIMITS,
): Promise<{ pcm: Float32Array; rate: number }> {
  const decoder = await openDecoder(format);
  const parts: Float32Array[] = [];
  let samples = 0;
  let rate = 0;
  try {
    const take = (piece: { channels: Float32Array[]; rate: number }) => {
      if (piece.channels.length === 0 || piece.channels[0]!.length === 0) return;
      if (rate !== 0 && piece.rate !== rate)
        throw bad(path, 'its sample rate changes in the middle: convert it to WAV');
      if (piece.rate < MIN_RATE || piece.rate > MAX_RATE) {
        throw bad(path, `its ${piece.rate} Hz are outside ${MIN_RATE} to ${MAX_RATE} Hz: convert it to 24000 Hz`);
      }
      rate = piece.rate;
      const mono = mixed(piece.channels);
      parts.push(mono);
      samples += mono.length;
      if (samples > limits.maxSeconds * rate) throw tooLong(path, limits);
    };
    for (let at = 0, turn = 1; at < bytes.length; at += CHUNK_BYTES, turn++) {
      for (const piece of await decoder.decode(bytes.subarray(at, at + CHUNK_BYTES))) take(piece);
      if (turn % CHUNKS_A_TURN === 0) await breathe();
    }
    for (const piece of await decoder.flush()) take(piece);
  } catch (error) {
    throw error instanceof EngineError ? error : bad(path, `it cannot be decoded (${(error as Error).message})`, error);
  } finally {
    decoder.free();
  }
  if (samples === 0) throw bad(path, `there is no sound in it that can be decoded: convert it to WAV`);
  return { pcm: concat(parts), rate };
}

/** The sound at 24 kHz; a conversation going on meanwhile is not held up. */
async function resampled(pcm: Float32Array, rate: number): Promise<Float32Array> {
  const resampler = new Resampler(rate, RATE);
  const parts: Float32Array[] = [];
  for (let at = 0; at < pcm.length; at += rate) {
    parts.push(resampler.push(pcm.subarray(at, at + rate)));
    await breathe();
  }
  parts.push(resampler.flush());
  return concat(parts);
}

/** The mean of the channels; what is no number becomes silence, what is over full scale is cut. */
function mixed(channels: readonly Float32Array[]): Float32Array {
  const mono = new Float32Array(channels[0]!.length);
  for (let i = 0; i < mono.length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i]!;
    const mean = sum / channels.length;
    mono[i] = mean > -1 ? Math.min(1, mean) : mean <= -1 ? -1 : 0;
  }
  return mono;
}

async function readLimited(path: string, limits: typeof VOICE_LIMITS): Promise<Uint8Array> {
  try {
    const file = await open(path);
    try {
      const found = await file.stat();
      if (!found.isFile()) throw bad(path, 'it is no file');
      if (found.size > limits.fileBytes) throw bad(path, `it has ${Math.round(found.size / 1e6)} MB: ${limits.advice}`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof EngineError) throw error;
    const missing = systemCode(error) === 'ENOENT';
    throw bad(
      path,
      missing ? 'there is no such file: check the path' : (systemCode(error) ?? (error as Error).message),
      error,
    );
  }
}

function tooLong(path: string, limits: typeof VOICE_LIMITS): EngineError {
  return bad(path, `it is longer than ${limits.maxSeconds} seconds: ${limits.advice}`);
}

function bad(path: string, why: string, cause?: unknown): EngineError {
  // By its name alone: clients of a server are told this.
  const reason = why.replace(/\s+/g, ' ');
  return new EngineError('ENGINE_BAD_FILE', `${shown(basename(path))} cannot be read: ${reason}`, { cause });
}
