/** The page of `npm run latency`: a conversation, and when each part of it happened. */
import { connect } from '@moshi/client';

declare global {
  var measure: (seconds: number) => Promise<PageMarks>;
}

/** Milliseconds on the clock of the page's machine; frames and messages in order. */
export interface PageMarks {
  /** From hearing a block to having it in the page. */
  readonly captureMs: number[];
  /** When each audio message went out, and how long its last samples had been in the page. */
  readonly sends: { at: number; workMs: number }[];
  readonly receives: number[];
  /** When a frame's sound was there, and when its first sample was heard. */
  readonly frames: { at: number; heardAt: number | undefined }[];
  readonly output: { baseMs: number; outputMs: number };
}

const now = () => performance.timeOrigin + performance.now();

globalThis.measure = async (seconds) => {
  const marks = { captureMs: [] as number[], sends: [] as PageMarks['sends'], receives: [] as number[] };
  let handedOver = 0;
  let headersSent = 0;
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (data) {
    send.call(this, data as ArrayBuffer);
    const bytes = data as unknown as Uint8Array;
    // Type 1 is sound; the first one has the headers of its stream, and no sound yet.
    if (bytes[0] === 1 && headersSent++ > 0) marks.sends.push({ at: now(), workMs: now() - handedOver });
  };
  const session = await connect(location.origin);
  const { microphone, speaker } = session;
  const sendAudio = session.sendAudio.bind(session);
  session.sendAudio = (pcm) => {
    handedOver = now();
    sendAudio(pcm);
  };
  const frames: { at: number; heardAt: number | undefined }[] = [];
  session.on('message', ({ type }) => void (type === 'audio' && marks.receives.push(now())));
  session.on('audio', ({ time }) => {
    const frame = { at: now(), heardAt: undefined as number | undefined };
    frames.push(frame);
    // By then it was heard, and the clock has not forgotten.
    setTimeout(() => {
      const at = speaker.clock.heardAt(time);
      if (at !== undefined) frame.heardAt = at + performance.timeOrigin;
    }, 1000);
  });
  await speaker.start();
  await microphone.start({ echoCancellation: false, noiseSuppression: false, autoGainControl: false });
  const timer = setInterval(() => {
    const { capture } = session.metrics;
    if (capture) marks.captureMs.push(capture.latencyMs);
  }, 50);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  clearInterval(timer);
  const context = (speaker.node as unknown as AudioNode).context as AudioContext;
  const result = {
    ...marks,
    frames,
    output: { baseMs: context.baseLatency * 1000, outputMs: context.outputLatency * 1000 },
  };
  await session.close();
  return result;
};
