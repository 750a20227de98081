import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OggOpusReader, OggOpusWriter } from '../src/index';
import { concat, oggFile } from './helpers';

const folder = mkdtempSync(join(tmpdir(), 'moshi-ogg-'));
afterAll(() => rmSync(folder, { recursive: true }));

const has = (tool: string, argument: string): boolean => !spawnSync(tool, [argument]).error;
const tools = { opusinfo: has('opusinfo', '--version'), ffprobe: has('ffprobe', '-version') };
for (const [tool, there] of Object.entries(tools)) {
  if (!there) console.warn(`${tool} is not installed: its check of the written Ogg files is skipped`);
}

/** A file of ours with the packets of a fixture, `perPage` on a page, the last 500 samples cut. */
function write(name: string, perPage: number, comment = 'TITLE=test'): { path: string; samples: number } {
  const packets = new OggOpusReader().push(oggFile(name).bytes);
  const writer = new OggOpusWriter({ serial: 77, preSkip: 312, comments: [comment] });
  const parts = [writer.header()];
  while (packets.length > perPage) parts.push(writer.page(packets.splice(0, perPage)));
  parts.push(writer.end({ packets, trim: 500 }));
  const path = join(folder, `${name}-${perPage}-${comment.length}.opus`);
  writeFileSync(path, concat(...parts));
  return { path, samples: Number(writer.granule) - 312 };
}

// Packets per page up to one that needs several pages; tags that need several pages.
const files: [string, number, string?][] = [
  ['frame20', 1],
  ['frame20', 1000],
  ['frame40', 2],
  ['frame60', 7],
  ['multipage', 1],
  ['multipage', 1000],
  ['server', 1],
  ['frame40', 1, 'TITLE='.padEnd(150_000, 'x')],
];

describe('real Ogg tools on what we write', () => {
  it.skipIf(!tools.opusinfo).each(files)('opusinfo finds nothing wrong with %s, %i packets per page', (...file) => {
    const { path, samples } = write(...file);
    const { stdout, status } = spawnSync('opusinfo', [path], { encoding: 'utf8', maxBuffer: 1 << 24 });
    expect(stdout).not.toMatch(/warning|error|hole|corrupt/i);
    expect(stdout).toMatch(/Pre-skip: 312/);
    expect(stdout).toMatch(/TITLE=/);
    const [, minutes, seconds] = /Playback length: (\d+)m:([\d.]+)s/.exec(stdout)!;
    expect(60 * Number(minutes) + Number(seconds)).toBeCloseTo(samples / 48000, 2);
    expect(status).toBe(0);
  });

  it.skipIf(!tools.ffprobe).each(files)('ffprobe reads %s, %i packets per page, with its length', (...file) => {
    const { path, samples } = write(...file);
    const report = execFileSync(
      'ffprobe',
      ['-v', 'warning', '-of', 'json', '-show_streams', '-show_format', '-count_packets', path],
      { encoding: 'utf8', maxBuffer: 1 << 24 },
    );
    const [stream] = JSON.parse(report).streams;
    expect(stream).toMatchObject({ codec_name: 'opus', channels: 1, duration_ts: samples + 312 });
    expect(Number(stream.nb_read_packets)).toBe(oggFile(file[0]).expected.packet_sizes.length);
  });
});
