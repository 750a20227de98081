import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Call } from '../state/call';
import type { CaptionLine } from '../state/captions';

/** Pixels from the end within which new lines keep the end in sight. */
const NEAR = 80;

/** What is said, each word lit up when it is heard. */
export function Captions({ call, textMode }: { call: Call; textMode: boolean }) {
  const { lines, sentence } = call.captions.value;
  const list = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (atEnd.current && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [lines]);
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = list.current!;
    atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR;
  };
  const shown = lines.filter((line) => line.who !== 'model' || line.words.length > 0);
  const current = shown.findLast((line) => line.who === 'model')?.id;
  return (
    <section class="captions" aria-label="Captions">
      <div
        ref={list}
        class="lines"
        onScroll={onScroll}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be within reach of the keyboard.
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label="What was said"
      >
        {shown.length === 0 ? <Hint call={call} textMode={textMode} /> : null}
        {shown.map((line) => (
          <Line key={line.id} line={line} current={line.id === current} />
        ))}
      </div>
      <p class="hidden" role="status" aria-label="Moshi said">
        {sentence}
      </p>
    </section>
  );
}

function Line({ line, current }: { line: CaptionLine; current: boolean }) {
  if (line.who === 'note') return <p class="line note">{line.text}</p>;
  if (line.who === 'you') {
    return (
      <p class="line you" dir="auto">
        <span class="hidden">You gave Moshi to say: </span>
        {line.text}
      </p>
    );
  }
  const newest = current ? line.words.findLastIndex(({ state }) => state === 'heard') : -1;
  return (
    <p class="line model" dir="auto">
      {line.words.map(({ text, state, time }, i) => (
        <span
          key={i}
          class="word"
          data-state={state}
          data-time={time.toFixed(2)}
          data-newest={i === newest || undefined}
        >
          {text}{' '}
        </span>
      ))}
    </p>
  );
}

function Hint({ call, textMode }: { call: Call; textMode: boolean }) {
  const { dialect, trained } = call.server.value;
  if (dialect === 'loopback') {
    return (
      <p class="hint">
        This server has no model: it is an echo that tests microphone, network and loudspeaker. You hear yourself a
        moment later.
      </p>
    );
  }
  if (trained === false) {
    return (
      <p class="hint">
        This model is untrained: it babbles, in sound and in words. Serve a trained one for a conversation. Everything
        else works as it will.
      </p>
    );
  }
  if (textMode)
    return <p class="hint">Type a sentence below. Moshi says it, and each word lights up as you hear it.</p>;
  return (
    <p class="hint">
      What Moshi says appears here, each word as you hear it. Interrupt whenever you like: Moshi listens while it
      speaks.
    </p>
  );
}
