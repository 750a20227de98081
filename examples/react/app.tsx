/** @jsxImportSource react */
import type { ConnectOptions } from '@moshi/client';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { type Moshi, useMoshi } from './use-moshi.ts';

/** One conversation, from when it is shown until it is not. */
export function Talk({ url, options }: { readonly url: string; readonly options?: ConnectOptions }) {
  const moshi = useMoshi(url, options);
  return (
    <section>
      <p role="status">
        {moshi.status === 'waiting' && moshi.position ? `in line, place ${moshi.position}` : moshi.status}
        {moshi.error && `: ${moshi.error.message}`}
      </p>
      <p>{moshi.words.join(' ')}</p>
      <Level moshi={moshi} />
      <button type="button" aria-pressed={moshi.muted} onClick={() => moshi.mute(!moshi.muted)}>
        Mute
      </button>
      <button type="button" onClick={() => moshi.interrupt()}>
        Interrupt
      </button>
      <Say moshi={moshi} />
    </section>
  );
}

/** The whole page: a button, and the conversation. */
export function App({ url, options }: { readonly url: string; readonly options?: ConnectOptions }) {
  const [talking, setTalking] = useState(false);
  return (
    <main>
      <h1>Moshi in React</h1>
      <button type="button" onClick={() => setTalking(!talking)}>
        {talking ? 'Hang up' : 'Talk'}
      </button>
      {talking && <Talk url={url} options={options} />}
    </main>
  );
}

/** Levels change all the time: they go past React, to the element itself. */
function Level({ moshi: { session } }: { readonly moshi: Moshi }) {
  const meter = useRef<HTMLMeterElement>(null);
  useEffect(() => {
    if (!session) return undefined;
    const timer = setInterval(() => {
      if (meter.current) meter.current.value = session.microphone.level;
    }, 50);
    return () => clearInterval(timer);
  }, [session]);
  return <meter ref={meter} min={0} max={1} aria-label="Your level" />;
}

function Say({ moshi }: { readonly moshi: Moshi }) {
  const onSubmit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const text = String(new FormData(form).get('text')).trim();
    if (text) moshi.say(text);
    form.reset();
  };
  return (
    <form onSubmit={onSubmit}>
      <input name="text" aria-label="Text for the model to say" />
      <button type="submit">Say</button>
    </form>
  );
}
