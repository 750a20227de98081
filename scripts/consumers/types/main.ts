import { connect, type MicrophoneOptions, MoshiError, type Session } from '@moshi/client';
import { scriptedServer } from '@moshi/client/testing';

export async function call(options: MicrophoneOptions): Promise<Session> {
  const { url, transport } = scriptedServer();
  const session = await connect(url, { transport: transport(), on: { text: ({ text }) => void text.trim() } });
  await session.microphone.start(options);
  session.speaker.on('word', ({ text, time }) => void `${text} ${time.toFixed(1)}`);
  if (session.state.status === 'closed') throw new MoshiError('closed', 'it is over');
  return session;
}

/** What a page makes of a recording: something to download. */
export const download = async (session: Session) => new Blob([await (await session.record()).stop()]);
