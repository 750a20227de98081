import { OggOpusEncoder } from '@moshi/opus';
import { encodeMessage } from '@moshi/protocol';
import { speech } from './signal';

/** The pages of so many frames of speech-like sound: the headers first, then two pages for each frame. */
export async function opusPages(frames: number): Promise<Uint8Array[]> {
  const encoder = await OggOpusEncoder.create();
  const pages = [encoder.header(), ...encoder.encode(speech(frames * 0.08))];
  encoder.free();
  return pages;
}

/** The audio messages that carry these pages. */
export const pageMessages = (pages: Uint8Array[]) => pages.map((data) => encodeMessage({ type: 'audio', data }));

export const handshake = () => encodeMessage({ type: 'handshake' });

export const metadata = (data: unknown) => encodeMessage({ type: 'metadata', data });

export const event = (name: string, data?: unknown) => encodeMessage({ type: 'event', name, data });
