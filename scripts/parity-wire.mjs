// Wire cases for npm run parity: the protocol's messages and Ogg Opus files, in the layout of the golden folders.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { OpusDecoder } from 'opus-decoder';
import {
  decodeMessage,
  encodeMessage,
  OggOpusReader,
  OggPageReader,
  opusPacketSamples,
} from '../packages/protocol/dist/esm/index.js';

let failures = 0;
let checks = 0;

function row(name, check, passed, result) {
  checks++;
  if (!passed) failures++;
  console.log(`${(passed ? 'ok' : 'FAIL').padEnd(4)}  ${name.padEnd(22)}  ${check.padEnd(26)}  ${result}`);
}

/** A row that counts how many of the items differ. */
function same(name, check, items, equal) {
  const wrong = items.filter((item) => !equal(item));
  const first = wrong.length > 0 ? `, first: ${JSON.stringify(wrong[0]).slice(0, 80)}` : '';
  row(
    name,
    check,
    wrong.length === 0 && items.length > 0,
    `largest error ${wrong.length} of ${items.length} differ${first}`,
  );
}

const hex = (text) => Uint8Array.from(Buffer.from(text, 'hex'));
const roundTrip = (text) => {
  const message = decodeMessage(hex(text));
  return message.type !== 'unknown' && Buffer.from(encodeMessage(message)).toString('hex') === text;
};

function messages(dir, name) {
  const golden = JSON.parse(readFileSync(join(dir, 'messages.json'), 'utf8'));
  // The TypeScript client's three-byte handshake is read but never written: no server knows it.
  same(name, 'frames', golden.frames, ({ hex: text }) =>
    text === '000000' ? decodeMessage(hex(text)).type === 'handshake' : roundTrip(text),
  );
  same(name, 'python_server', golden.python_server.messages, roundTrip);
}

function pcm16(path) {
  const bytes = readFileSync(path);
  return Float32Array.from({ length: (bytes.length - 44) / 2 }, (_, i) => bytes.readInt16LE(44 + 2 * i) / 32768);
}

async function oggOpus(dir, name) {
  const expected = JSON.parse(readFileSync(join(dir, 'expected.json'), 'utf8'));
  for (const [file, want] of Object.entries(expected)) {
    const bytes = new Uint8Array(readFileSync(join(dir, `${file}.opus`)));
    for (const size of [bytes.length, 1, 97]) {
      const pages = [];
      const packets = [];
      const pageReader = new OggPageReader();
      const reader = new OggOpusReader();
      for (let at = 0; at < bytes.length; at += size) {
        const piece = bytes.slice(at, at + size);
        for (const page of pageReader.push(piece)) {
          const flags = (page.continued ? 1 : 0) | (page.bos ? 2 : 0) | (page.eos ? 4 : 0);
          pages.push([flags, Number(page.granule), page.serial, page.sequence, page.segments.length, page.body.length]);
        }
        packets.push(...reader.push(piece).map((packet) => packet.slice()));
      }
      const hash = createHash('sha256');
      for (const packet of packets) {
        const length = Buffer.alloc(4);
        length.writeUInt32LE(packet.length);
        hash.update(length).update(packet);
      }
      const how = size === bytes.length ? '' : ` (${size} at a time)`;
      const good =
        JSON.stringify(pages) === JSON.stringify(want.pages) &&
        hash.digest('hex').startsWith(want.packet_sha256_16) &&
        JSON.stringify(packets.map((packet) => opusPacketSamples(packet))) === JSON.stringify(want.packet_samples_24k);
      row(
        name,
        `${file}${how}`,
        good,
        `largest error ${good ? 0 : 1} of 1 differ: ${pages.length} pages, ${packets.length} packets`,
      );
      const wav = join(dir, `${file}.libopus24.wav`);
      if (size !== bytes.length || !existsSync(wav)) continue;
      const decoder = new OpusDecoder({ channels: 1, sampleRate: 24000, preSkip: 0 });
      await decoder.ready;
      const decoded = packets.flatMap((packet) => [...decoder.decodeFrame(packet).channelData[0]]);
      decoder.free();
      const reference = pcm16(wav);
      const error = reference.reduce((most, v, i) => Math.max(most, Math.abs(v - (decoded[i] ?? 9))), 0) * 32768;
      const agrees = decoded.length === reference.length && error <= 3;
      row(
        name,
        `${file} pcm`,
        agrees,
        `largest error ${error.toFixed(2)} of 16-bit units (allowed 3), ${decoded.length} samples`,
      );
    }
  }
}

for (const dir of process.argv.slice(2)) {
  const name = basename(dir);
  try {
    if (existsSync(join(dir, 'messages.json'))) messages(dir, name);
    else await oggOpus(dir, name);
  } catch (error) {
    row(name, 'runs to its end', false, String(error.message));
  }
}
console.log(`${checks} checks of the wire, ${failures} failed`);
process.exit(failures ? 1 : 0);
