import { readFileSync } from 'node:fs';

/** Path of a file or folder under test/fixtures. */
export const fixture = (name: string): string => new URL(`../fixtures/${name}`, import.meta.url).pathname;

/** Speech at 24 kHz, mono: `frames` frames of the recording that comes with the examples. */
export function speech(frames: number): Float32Array {
  const wav = readFileSync(new URL('../../../../examples/audio/call-desk-24k.wav', import.meta.url));
  const samples = new DataView(wav.buffer, wav.byteOffset + 44, wav.length - 44);
  return Float32Array.from({ length: frames * 1920 }, (_, i) => samples.getInt16(2 * i, true) / 32768);
}

/** A tensor of a fixture's expected.safetensors as numbers; int64 values are narrowed. */
export function expectedTensor(folder: string, name: string): { shape: number[]; values: number[] } {
  const file = readFileSync(`${fixture(folder)}/expected.safetensors`);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length));
  const { dtype, shape, data_offsets: offsets } = header[name];
  const data = file.subarray(8 + length + offsets[0], 8 + length + offsets[1]);
  const values: number[] = [];
  if (dtype === 'F32') for (let i = 0; i < data.length; i += 4) values.push(data.readFloatLE(i));
  else for (let i = 0; i < data.length; i += 8) values.push(Number(data.readBigInt64LE(i)));
  return { shape, values };
}
