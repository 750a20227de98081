import { useEffect, useState } from 'preact/hooks';
import type { Call } from '../state/call';

/** Milliseconds between two looks at the loudness: fast enough to follow syllables. */
const EVERY = 80;
const quiet = { you: 0, model: 0 };

/** How loud both sides are. */
export function Meters({ call }: { call: Call }) {
  const live = call.speaker.value !== 'off';
  const [levels, setLevels] = useState(quiet);
  useEffect(() => {
    if (!live) {
      setLevels(quiet);
      return;
    }
    const timer = setInterval(() => setLevels(call.levels), EVERY);
    return () => clearInterval(timer);
  }, [live, call]);
  return (
    <div class="meters">
      <Meter side="model" label="Moshi" level={levels.model} />
      <Meter side="you" label="You" level={levels.you} note={youNote(call, live)} />
    </div>
  );
}

function youNote(call: Call, live: boolean): string {
  if (!live) return '';
  if (call.mode.value === 'text') return 'off';
  return call.muted.value ? 'muted' : '';
}

function Meter({ side, label, level, note }: { side: 'you' | 'model'; label: string; level: number; note?: string }) {
  return (
    <div class={`meter ${side}`}>
      <label for={`level-${side}`}>{label}</label>
      <meter class="hidden" id={`level-${side}`} min={0} max={1} value={level.toFixed(2)} />
      <div class="bar" aria-hidden="true">
        <div class="fill" style={{ transform: `scaleX(${level.toFixed(3)})` }} />
      </div>
      {note ? <span class="meter-note">{note}</span> : null}
    </div>
  );
}
