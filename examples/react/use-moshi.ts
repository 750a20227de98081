// A conversation as React state. Copy it into your app: it is meant to be changed.
import { type ConnectOptions, connect, type MoshiError, type Session, type SessionState } from '@moshi/client';
import { useEffect, useEffectEvent, useState } from 'react';

/** What a component shows of a conversation. */
export interface Conversation {
  /** `idle` without an address, else where the session is. */
  readonly status: 'idle' | SessionState['status'];
  /** Place in line while `waiting`, where the server tells. */
  readonly position: number | undefined;
  /** What the model said and the user has heard. */
  readonly words: readonly string[];
  readonly muted: boolean;
  /** Why it ended, or what went wrong last. */
  readonly error: MoshiError | undefined;
  /** For everything else: levels, metrics, recording. */
  readonly session: Session | undefined;
}

/** A conversation and what can be done with it. */
export interface Moshi extends Conversation {
  mute(muted: boolean): void;
  say(text: string): void;
  interrupt(): void;
}

const IDLE: Conversation = {
  ...{ status: 'idle', position: undefined, words: [], muted: false, error: undefined, session: undefined },
};

/**
 * Talks with the server at `url` for as long as there is one; set it in a click, so that the browser lets sound play.
 * `options` are those of `connect` and count when the conversation begins.
 */
export function useMoshi(url: string | undefined, options: ConnectOptions = {}): Moshi {
  const [conversation, setConversation] = useState(IDLE);

  const talk = useEffectEvent(async (address: string, signal: AbortSignal) => {
    // A conversation that React has put away has nothing more to say.
    const update = (change: (before: Conversation) => Partial<Conversation>) => {
      if (!signal.aborted) setConversation((before) => ({ ...before, ...change(before) }));
    };
    const onState = (state: SessionState) =>
      update(() => ({ status: state.status, position: state.status === 'waiting' ? state.position : undefined }));
    try {
      const session = await connect(address, { ...options, signal, on: { ...options.on, state: onState } });
      update(() => ({ session }));
      session.on('error', (error) => update(() => ({ error })));
      session.on('new-conversation', () => update(() => ({ words: [] })));
      session.speaker.on('word', ({ text }) => update(({ words }) => ({ words: [...words, text] })));
      session.microphone.on('muted', (muted) => update(() => ({ muted })));
      await session.speaker.start();
      await session.microphone.start();
    } catch (error) {
      update(({ session }) => ({ error: error as MoshiError, ...(!session && { status: 'closed' }) }));
    }
  });

  useEffect(() => {
    if (url === undefined) return undefined;
    const leave = new AbortController();
    setConversation({ ...IDLE, status: 'connecting' });
    void talk(url, leave.signal);
    return () => {
      // Ends an attempt to connect, too: StrictMode mounts everything twice.
      leave.abort();
      setConversation(IDLE);
    };
  }, [url]);

  const { session } = conversation;
  return {
    ...conversation,
    mute: (muted) => session?.microphone.setMuted(muted),
    interrupt: () => session?.interrupt(),
    say: (text) => {
      // The text may outlive its conversation: the next one has nothing to do with it.
      session?.say(text).catch((error) => {
        setConversation((before) => (before.session === session ? { ...before, error } : before));
      });
    },
  };
}
