import { randomUUID } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { EngineError } from '../errors';
import { systemCode } from '../hub/errors';

const CODEBOOKS = 8;
const METADATA = { format: 'moshi-voice', version: '1' };
/** Codes of the published codec are below 2048; a voice of another codec may have more, but not more than fit the field. */
const MAX_CODE = 0xffff;
const MAX_HEADER_BYTES = 4096;

/**
 * Stores a voice so that it needs no more encoding: a safetensors file with the tensor `codes`, I32 [8, frames], and the metadata
 * `format: moshi-voice`, `version: 1`. `codes` is [8, frames], row-major. Rejects `ENGINE_BAD_OPTION` as {@link checkVoiceOutput} does,
 * or when codes and frames do not fit together. The file appears whole or not at all.
 */
export async function writeVoice(path: string, codes: Int32Array, frames: number): Promise<void> {
  if (!Number.isInteger(frames) || frames < 1 || codes.length !== CODEBOOKS * frames) {
    throw new EngineError(
      'ENGINE_BAD_OPTION',
      `${codes.length} codes are not ${CODEBOOKS} codebooks of ${frames} frames: a voice is made with MimiCodec.voiceCodes()`,
    );
  }
  const wrong = codes.find((code) => code < 0 || code > MAX_CODE);
  if (wrong !== undefined) throw new EngineError('ENGINE_BAD_OPTION', `the code ${wrong} of a voice is in no codebook`);
  await checkVoiceOutput(path);
  const target = resolve(path);
  const temporary = join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o644);
    try {
      await file.writeFile(encode(codes, frames));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Rejects `ENGINE_BAD_OPTION` when a voice cannot be stored at `path`: the name does not end in `.safetensors`, the folder is missing,
 * or what is there already is no voice.
 */
export async function checkVoiceOutput(path: string): Promise<void> {
  const refuse = (why: string) => new EngineError('ENGINE_BAD_OPTION', `cannot store a voice as ${path}: ${why}`);
  if (!/[^/\\]\.safetensors$/.test(path)) throw refuse('give a name that ends in .safetensors');
  const folder = dirname(resolve(path));
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) {
    throw refuse(`there is no folder ${folder}: make it first`);
  }
  try {
    if (!(await isMadeVoice(path))) throw refuse('what is there is no voice: give another name');
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

async function isMadeVoice(path: string): Promise<boolean> {
  if (!(await stat(path)).isFile()) return false;
  const file = await open(path);
  try {
    const bytes = Buffer.alloc(8 + MAX_HEADER_BYTES);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    const length = bytesRead < 8 ? 0 : Number(bytes.readBigUInt64LE(0));
    if (length === 0 || length > bytesRead - 8) return false;
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as { __metadata__?: { format?: unknown } } | null;
    return header?.__metadata__?.format === METADATA.format;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  } finally {
    await file.close();
  }
}

function encode(codes: Int32Array, frames: number): Uint8Array {
  const header = JSON.stringify({
    __metadata__: METADATA,
    codes: { dtype: 'I32', shape: [CODEBOOKS, frames], data_offsets: [0, codes.length * 4] },
  });
  const json = Buffer.from(header.padEnd(Math.ceil(header.length / 8) * 8));
  const bytes = Buffer.alloc(8 + json.length + codes.length * 4);
  bytes.writeBigUInt64LE(BigInt(json.length), 0);
  json.copy(bytes, 8);
  for (let i = 0; i < codes.length; i++) bytes.writeInt32LE(codes[i]!, 8 + json.length + 4 * i);
  return bytes;
}
