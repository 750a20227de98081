import { createHash, type Hash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, open, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HubError } from './errors';
import type { HubClient, HubResponse } from './http';
import { formatBytes, type ProgressListener, ProgressMeter } from './progress';

/** One file to bring to the disk. */
export interface Transfer {
  readonly client: HubClient;
  /** Path on the hub, relative to its endpoint. */
  readonly path: string;
  /** The file's name in messages and progress. */
  readonly file: string;
  /** Expected bytes; undefined when the hub does not say. */
  readonly size: number | undefined;
  /** Expected SHA-256 in hex; undefined when the hub does not say. */
  readonly sha256: string | undefined;
  /** Where the bytes gather; what is there already is continued. */
  readonly part: string;
  readonly onProgress: ProgressListener | undefined;
  readonly signal: AbortSignal | undefined;
  /** Tries without headway before giving up. */
  readonly retries: number;
  /** First pause between tries; doubles up to 16 times this. */
  readonly retryDelayMs: number;
  /** Makes an error out of an answer that is not the file. */
  readonly explain: (response: HubResponse) => HubError;
}

/** So many new bytes make a broken try count as headway. */
const HEADWAY_BYTES = 8 << 20;
const RETRYABLE = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Bytes of the part file known to be right so far, with their running hash. */
interface Written {
  bytes: number;
  hash: Hash;
}

/**
 * Downloads one file into its part file: continues what is there, tries again after broken connections, checks size and
 * SHA-256. A part that fails a check is deleted and fetched once more from zero. Throws {@link HubError}.
 */
export async function transfer(t: Transfer): Promise<void> {
  const meter = new ProgressMeter(t.file, t.size, t.onProgress);
  let written = await readPart(t);
  let spoiled = false;
  let failures = 0;
  let failedAt = written.bytes;
  meter.start(written.bytes);
  for (;;) {
    let pauseMs = 0;
    try {
      if (written.bytes !== t.size || t.size === 0) await receive(t, written, meter);
      verify(t, written);
      meter.end(written.bytes);
      return;
    } catch (error) {
      t.signal?.throwIfAborted();
      if (!(error instanceof HubError)) throw error;
      if (error.code === 'size' || error.code === 'checksum') {
        await rm(t.part, { force: true });
        if (spoiled) throw error;
        spoiled = true;
        written = { bytes: 0, hash: createHash('sha256') };
        meter.start(0);
      } else if (error instanceof RetryableError || error.code === 'network') {
        if (written.bytes - failedAt >= HEADWAY_BYTES) failures = 0;
        failedAt = written.bytes;
        if (++failures > t.retries) throw giveUp(error, written.bytes);
        const backOff = t.retryDelayMs * 2 ** Math.min(failures - 1, 4);
        pauseMs = Math.max(backOff, error instanceof RetryableError ? error.afterMs : 0);
      } else throw error;
    }
    await sleep(pauseMs, undefined, { signal: t.signal }).catch(() => t.signal?.throwIfAborted());
  }
}

/** An answer that may well be better next time. */
class RetryableError extends HubError {
  constructor(
    error: HubError,
    readonly afterMs: number,
  ) {
    super(error.code, error.message, { cause: error });
  }
}

function giveUp(error: HubError, bytes: number): HubError {
  if (bytes === 0) return error;
  return new HubError(error.code, `${error.message} What arrived is kept: the next try continues there.`, {
    cause: error,
  });
}

async function readPart(t: Transfer): Promise<Written> {
  const written: Written = { bytes: 0, hash: createHash('sha256') };
  const found = await stat(t.part).catch(() => undefined);
  if (!found) return written;
  if (t.size !== undefined && found.size <= t.size) {
    for await (const chunk of createReadStream(t.part, { highWaterMark: 1 << 20, signal: t.signal })) {
      written.hash.update(chunk as Buffer);
      written.bytes += (chunk as Buffer).length;
    }
  } else {
    await rm(t.part, { force: true });
  }
  return written;
}

async function receive(t: Transfer, written: Written, meter: ProgressMeter): Promise<void> {
  await checkSpace(t, written.bytes);
  const response = await t.client.get(t.path, written.bytes);
  let part: FileHandle | undefined;
  try {
    await accept(t, response, written);
    // Never truncated and always written by position: two writers of the same content cannot harm one another.
    part = await open(t.part, constants.O_RDWR | constants.O_CREAT, 0o644);
    for await (const chunk of response.body()) {
      if (t.size !== undefined && written.bytes + chunk.length > t.size) {
        throw new HubError('size', sizeMessage(t, `more than ${t.size}`));
      }
      for (let done = 0; done < chunk.length; ) {
        done += (await part.write(chunk, done, chunk.length - done, written.bytes + done)).bytesWritten;
      }
      written.hash.update(chunk);
      written.bytes += chunk.length;
      meter.update(written.bytes);
    }
    await part.sync();
  } finally {
    await part?.close();
    await response.cancel();
  }
  if (t.size !== undefined && written.bytes < t.size) {
    throw new HubError('network', `the connection ended at ${written.bytes} of ${t.size} bytes of ${t.file}.`);
  }
}

/** Lets a body through only if it is the wanted bytes; a hub that starts at zero makes us start at zero. */
async function accept(t: Transfer, response: HubResponse, written: Written): Promise<void> {
  const { status, headers } = response;
  if (status === 416) {
    throw new HubError('size', sizeMessage(t, `fewer than ${written.bytes}`));
  }
  if (status === 206 && written.bytes > 0) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
    if (range === null || Number(range[1]) !== written.bytes) {
      throw new HubError('size', `the hub answered another range of ${t.file} than was asked for. Try again later.`);
    }
    if (t.size !== undefined && range[2] !== '*' && Number(range[2]) !== t.size) {
      throw new HubError('size', sizeMessage(t, range[2] ?? ''));
    }
  } else if (status === 200) {
    if (written.bytes > 0) {
      await rm(t.part, { force: true });
      written.bytes = 0;
      written.hash = createHash('sha256');
    }
    const length = headers.get('content-encoding') === null ? headers.get('content-length') : null;
    if (t.size !== undefined && length !== null && Number(length) !== t.size) {
      throw new HubError('size', sizeMessage(t, length));
    }
  } else {
    const error = t.explain(response);
    // Behind a redirect stands a storage host whose signed address may just have expired.
    if (!RETRYABLE.has(status) && response.hops.length === 0) throw error;
    const seconds = Number(headers.get('retry-after') ?? 0);
    throw new RetryableError(error, Number.isFinite(seconds) ? Math.min(30, Math.max(0, seconds)) * 1000 : 0);
  }
}

function verify(t: Transfer, written: Written): void {
  if (t.sha256 === undefined) return;
  const sha256 = written.hash.copy().digest('hex');
  if (sha256 === t.sha256) return;
  throw new HubError(
    'checksum',
    `${t.file} arrived damaged, twice: its SHA-256 is ${sha256}, the hub announces ${t.sha256}. ` +
      'Something between here and the hub changes the bytes (a proxy? a mirror?); try without it.',
  );
}

function sizeMessage(t: Transfer, got: string): string {
  return (
    `${t.file} should have ${t.size} bytes but the hub sends ${got}. ` +
    'Try again later; if HF_ENDPOINT names a mirror, try the hub itself.'
  );
}

async function checkSpace(t: Transfer, have: number): Promise<void> {
  if (t.size === undefined) return;
  const disk = await statfs(dirname(t.part)).catch(() => undefined);
  const missing = t.size - have;
  if (!disk || disk.bavail * disk.bsize >= missing) return;
  throw new HubError(
    'disk',
    `no space for ${t.file} in ${dirname(t.part)}: it needs ${formatBytes(missing)} more, ` +
      `${formatBytes(disk.bavail * disk.bsize)} are free. Free some space there or point HF_HOME at another disk.`,
  );
}
