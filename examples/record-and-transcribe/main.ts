// Records conversations: a server in front of any Moshi that keeps both sides of each one, and who said what.
//
//   npx tsx examples/record-and-transcribe/main.ts        clients connect to ws://localhost:8996 instead of :8998
//
// For each conversation in RECORDINGS (./recordings): NAME.ogg (left = user, right = model), NAME.json, NAME.txt, NAME.vtt.
// Also: MOSHI_URL (ws://localhost:8998), PORT (8996), HOST, SLOTS; TRANSCRIBE_MODEL with OPENAI_BASE_URL and OPENAI_API_KEY
// writes down the user, too: Moshi tells in words only what it says itself.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { remoteEngine } from '@moshi/client';
import { createServer, type ServerSession } from '@moshi/server';
import { openAiFromEnv, transcribe } from '../common/openai.ts';
import { SpeechDetector, type SpeechEvent } from '../common/speech-detector.ts';
import { StereoRecorder } from './stereo-recorder.ts';
import { Transcript } from './transcript.ts';

const { env } = process;
const folder = env.RECORDINGS || 'recordings';
const openai = openAiFromEnv();

/** Keeps one conversation, from the moment it is live. */
async function record(session: ServerSession): Promise<void> {
  const name = join(folder, `${new Date().toISOString().replace(/[:.]/g, '-')}-${session.id.slice(0, 8)}`);
  const closed = new Promise((resolve) => session.once('closed', resolve));
  const opening = StereoRecorder.create(`${name}.ogg`);
  const transcript = new Transcript();
  const ears = new SpeechDetector({ keep: true });
  const pending: Promise<void>[] = [];
  let startedAt = 0;
  // Hooks, not events: the conversation waits for the recorder, and not a frame is missed.
  session.pipe({
    async userAudio(pcm) {
      (await opening).user(pcm);
      heard(ears.push(pcm));
      return pcm;
    },
    async modelAudio(pcm) {
      (await opening).model(pcm);
      return pcm;
    },
  });
  const recorder = await opening;
  session.on('text', (text) => transcript.model(text, recorder.seconds));

  function heard(turn: SpeechEvent | undefined): void {
    if (turn?.type === 'started') startedAt = turn.atMs / 1000;
    else if (turn && openai.transcribeModel) pending.push(writeDown(turn.pcm, startedAt, turn.atMs / 1000));
  }

  async function writeDown(speech: Float32Array, start: number, end: number): Promise<void> {
    try {
      transcript.user(await transcribe(openai, speech), start, end);
    } catch (error) {
      console.error(`the user at ${start.toFixed(1)} s is not in the transcript: ${(error as Error).message}`);
    }
  }

  await closed;
  // Who hangs up in the middle of a word has said it all the same.
  heard(ears.end());
  await recorder.close();
  await Promise.all(pending);
  // Nobody was put through.
  if (recorder.seconds === 0) return rm(`${name}.ogg`);
  await writeFile(`${name}.json`, transcript.toJson());
  await writeFile(`${name}.txt`, transcript.toText());
  await writeFile(`${name}.vtt`, transcript.toWebVtt());
  console.log(`recorded ${name}.ogg, ${recorder.seconds.toFixed(1)} s`);
}

await mkdir(folder, { recursive: true });
const server = await createServer({
  engine: remoteEngine(env.MOSHI_URL || 'ws://localhost:8998', { slots: Number(env.SLOTS || 1) }),
  host: env.HOST || '127.0.0.1',
  port: Number(env.PORT || 8996),
  logger: { debug() {}, info() {}, warn: (line) => console.warn(line), error: (line) => console.error(line) },
});
const recordings = new Set<Promise<void>>();
server.on('session', (session) => {
  const recording = record(session).catch((error) => console.error(`not recorded: ${error.message}`));
  recordings.add(recording);
  void recording.finally(() => recordings.delete(recording));
});
console.log(`listening on ${server.url}, recordings in ${folder}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await server.close();
    await Promise.all(recordings);
    process.exit(0);
  });
}
