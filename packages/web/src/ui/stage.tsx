import { useEffect, useRef, useState } from 'preact/hooks';
import type { Call } from '../state/call';
import type { Phase } from '../state/call-signals';
import type { Page } from '../state/page';
import { clockTime } from '../words';
import { FigureStrip } from './figures';
import { Icon } from './icons';
import { Meters } from './meters';
import { drawRing } from './ring';

/** The button that begins and ends everything, within a ring of both voices. */
export function Stage({ page }: { page: Page }) {
  const { call, address, mayTalk } = page;
  const phase = call.phase.value;
  const idle = phase.name === 'idle';
  const status = idle && !mayTalk.value ? 'Not ready yet' : statusOf(phase, call.mode.value);
  return (
    <section class="stage" aria-label="Call">
      <div class="ring">
        <Ring call={call} />
        <button
          type="button"
          class={`talk-button ${idle ? '' : 'going'}`}
          disabled={idle && !mayTalk.value}
          // Not disabled while it ends, as that would take the keyboard's focus away.
          aria-disabled={phase.name === 'ending'}
          onClick={() => (idle ? page.talk() : phase.name !== 'ending' && void call.hangUp())}
        >
          {idle ? <Icon name={address.textMode ? 'keyboard' : 'microphone'} /> : null}
          {call.since.value !== undefined ? <Elapsed since={call.since.value} /> : null}
          <span>{buttonText(phase, address.textMode)}</span>
          {address.foreignHost !== undefined && idle ? <span class="talk-host">to {address.foreignHost}</span> : null}
        </button>
      </div>
      <div class="stage-words">
        <p class="status" role="status">
          <span class={`dot ${phase.name}`} aria-hidden="true" />
          {status}
        </p>
        <Meters call={call} />
      </div>
      <FigureStrip call={call} />
    </section>
  );
}

function buttonText(phase: Phase, textMode: boolean): string {
  if (phase.name === 'idle') return textMode ? 'Start' : 'Talk';
  return phase.name === 'live' || phase.name === 'reconnecting' || phase.name === 'ending' ? 'End' : 'Cancel';
}

function statusOf(phase: Phase, mode: 'voice' | 'text'): string {
  switch (phase.name) {
    case 'idle':
      return 'Ready when you are';
    case 'asking':
      return 'Waiting for your microphone';
    case 'connecting':
      return 'Connecting';
    case 'waiting':
      return phase.position === undefined ? 'Moshi is getting ready' : 'Waiting in line';
    case 'live':
      return mode === 'voice' ? 'Live: just talk' : 'Live: just type';
    case 'reconnecting':
      return 'Connection lost: trying again';
    case 'ending':
      return 'Saying goodbye';
  }
}

function Elapsed({ since }: { since: number }) {
  const [now, setNow] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return (
    <span class="elapsed" aria-hidden="true">
      {clockTime((now - since) / 1000)}
    </span>
  );
}

/** Moves with both voices; only for the eye, the meters say the same in numbers. */
function Ring({ call }: { call: Call }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => drawRing(canvas.current!, call), [call]);
  return (
    <div class="ring-picture" aria-hidden="true">
      <canvas ref={canvas} />
    </div>
  );
}
