import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OggOpusEncoder, type OggOpusEncoderOptions } from '../src/index';
import { concat, speech } from './helpers';

const folder = mkdtempSync(join(tmpdir(), 'moshi-opus-'));
afterAll(() => rmSync(folder, { recursive: true }));

const hasOpusinfo = !spawnSync('opusinfo', ['--version']).error;
if (!hasOpusinfo) console.warn('opusinfo is not installed: its check of the encoder is skipped');

describe('opusinfo on what the encoder writes', () => {
  it.skipIf(!hasOpusinfo).each<[OggOpusEncoderOptions, number, string]>([
    [{}, 48_000, '0m:02.000s'],
    [{ frameMs: 20, packetsPerPage: 2 }, 41_001, '0m:01.708s'],
    [{ preSkip: 3840, application: 'voip' }, 24_000, '0m:01.000s'],
  ])('%j, %i samples', async (options, samples, length) => {
    const encoder = await OggOpusEncoder.create(options);
    const path = join(folder, `${samples}.opus`);
    writeFileSync(path, concat(encoder.header(), ...encoder.encode(speech.subarray(0, samples)), ...encoder.flush()));
    encoder.free();
    const { stdout, status } = spawnSync('opusinfo', [path], { encoding: 'utf8' });
    expect(stdout).not.toMatch(/warning|error|hole|corrupt/i);
    expect(stdout).toContain(`Playback length: ${length}`);
    expect(stdout).toContain(`Pre-skip: ${options.preSkip ?? 312}`);
    expect(status).toBe(0);
  });
});
