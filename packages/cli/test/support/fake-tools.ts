import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a fake sound tool does besides noting its arguments. */
export interface ToolScript {
  /** Raw bytes it records, in real time; silence follows. A player has none. */
  readonly records?: Uint8Array;
  /** It says this on standard error and ends with 1, at once or after so many milliseconds. */
  readonly fails?: string;
  readonly afterMs?: number;
  /** It runs, and takes nothing of what it is given. */
  readonly stuck?: boolean;
  /** It says this on standard error all the time. */
  readonly tells?: string;
}

/** A folder of programs that stand for a system's sound tools. */
export interface FakeTools {
  /** For `SystemSound`: the folder is all there is on its PATH. */
  readonly env: NodeJS.ProcessEnv;
  /** Arguments of each start of a program, in order. */
  started(program: string): Promise<string[][]>;
  /** Bytes a player got so far. */
  played(program: string): Promise<Buffer>;
  remove(): Promise<void>;
}

/** Makes programs that record, play, print or fail. */
export async function fakeTools(scripts: Readonly<Record<string, ToolScript | string>>): Promise<FakeTools> {
  const folder = await mkdtemp(join(tmpdir(), 'moshi-tools-'));
  const bin = join(folder, 'bin');
  await mkdir(bin);
  for (const [name, script] of Object.entries(scripts)) {
    const file = (kind: string) => JSON.stringify(join(folder, `${name}.${kind}`));
    const body = typeof script === 'string' ? `process.stdout.write(${JSON.stringify(script)});` : tool(script, file);
    if (typeof script !== 'string' && script.records) await writeFile(join(folder, `${name}.sound`), script.records);
    const noted = `require('node:fs').appendFileSync(${file('args')}, JSON.stringify(process.argv.slice(2)) + '\\n');`;
    await writeFile(join(bin, name), `#!${process.execPath}\n${noted}\n${body}\n`);
    await chmod(join(bin, name), 0o755);
  }
  const read = (name: string) => readFile(join(folder, name)).catch(() => Buffer.alloc(0));
  return {
    env: { PATH: bin },
    started: async (name) =>
      String(await read(`${name}.args`))
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
    played: (name) => read(`${name}.played`),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

function tool({ records, fails, afterMs, stuck, tells }: ToolScript, file: (kind: string) => string): string {
  const fail = `process.stderr.write(${JSON.stringify(`${fails}\n`)}, () => process.exit(1));`;
  if (fails !== undefined && afterMs === undefined) return fail;
  const telling = tells === undefined ? '' : `setInterval(() => process.stderr.write(${JSON.stringify(tells)}), 20);`;
  const later = `${telling} ${fails === undefined ? '' : `setTimeout(() => { ${fail} }, ${afterMs});`}`;
  if (stuck) return 'setInterval(() => {}, 1000);';
  if (!records) return `${later} process.stdin.pipe(require('node:fs').createWriteStream(${file('played')}));`;
  // Pieces of an odd size, as pipes cut anywhere: 20 ms of floats and three bytes.
  return `${later}
    const sound = require('node:fs').readFileSync(${file('sound')});
    const rate = 24000 * 4;
    const begin = Date.now();
    let at = 0;
    setInterval(() => {
      const due = Math.floor(((Date.now() - begin) / 1000) * rate);
      while (at + 1923 <= due) {
        const piece = Buffer.alloc(1923);
        if (at < sound.length) sound.copy(piece, 0, at, at + 1923);
        process.stdout.write(piece);
        at += 1923;
      }
    }, 10);`;
}

/** Samples as the tools of floats carry them. */
export function floatBytes(pcm: Float32Array): Uint8Array {
  return new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength);
}

/** The samples of such bytes. */
export function bytesToFloats(bytes: Buffer): Float32Array {
  return Float32Array.from({ length: bytes.length >> 2 }, (_, i) => bytes.readFloatLE(i * 4));
}
