import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resample, writeWav } from '@moshi/protocol/audio';

/** What Chromium's fake microphone runs at, so that it plays the file as it is. */
const SAMPLE_RATE = 48_000;

let folder: string | undefined;
let files = 0;

/**
 * Writes 24 kHz mono sound as a file for `launch({ microphone })` and returns its path; it is gone with the process. It
 * ends in silence (at least 200 ms), because Chromium may play a file's last 10 ms again and again.
 */
export async function micWav(
  pcm24k: Float32Array,
  { leadMs = 0, tailMs = 1000 }: { leadMs?: number; tailMs?: number } = {},
): Promise<string> {
  const sound = resample(pcm24k, 24_000, SAMPLE_RATE);
  const lead = Math.round((leadMs * SAMPLE_RATE) / 1000);
  const tail = Math.round((Math.max(200, tailMs) * SAMPLE_RATE) / 1000);
  const pcm = new Float32Array(lead + sound.length + tail);
  pcm.set(sound, lead);
  const path = join(temporary(), `microphone-${files++}.wav`);
  await writeFile(path, writeWav(pcm, { sampleRate: SAMPLE_RATE }));
  return path;
}

function temporary(): string {
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'moshi-e2e-'));
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  return folder;
}
