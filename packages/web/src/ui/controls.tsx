import { useEffect, useState } from 'preact/hooks';
import type { Call } from '../state/call';
import { clockTime } from '../words';
import { Icon } from './icons';

/** What can be done in a call. */
export function Controls({ call }: { call: Call }) {
  const { name } = call.phase.value;
  const recorded = call.recorder.saved.value;
  const live = name === 'live' || name === 'reconnecting';
  if (!live && !recorded) return null;
  return (
    <fieldset class="controls">
      <legend class="hidden">Call controls</legend>
      {live && call.mode.value === 'voice' ? (
        <Toggle
          on={call.muted.value}
          icon={call.muted.value ? 'muted' : 'microphone'}
          label="Mute"
          rest="the microphone"
          change={(on) => call.setMuted(on)}
        />
      ) : null}
      {live && call.mode.value === 'text' ? (
        <button type="button" class="button" onClick={() => void call.useMicrophone()}>
          <Icon name="microphone" />
          <span>Use microphone</span>
        </button>
      ) : null}
      {live ? (
        <button type="button" class="button" aria-label="Hush: Moshi stops talking" onClick={() => call.interrupt()}>
          <Icon name="quiet" />
          <span>Hush</span>
        </button>
      ) : null}
      {live ? <Record call={call} /> : null}
      {recorded && call.recorder.since.value === undefined ? (
        <a class="button" href={recorded.url} download={recorded.name}>
          <Icon name="save" />
          <span>Save recording</span>
        </a>
      ) : null}
    </fieldset>
  );
}

function Record({ call }: { call: Call }) {
  const since = call.recorder.since.value;
  const [now, setNow] = useState(0);
  useEffect(() => {
    if (since === undefined) return;
    setNow(performance.now());
    const timer = setInterval(() => setNow(performance.now()), 500);
    return () => clearInterval(timer);
  }, [since]);
  const on = since !== undefined;
  return (
    <Toggle
      on={on}
      icon={on ? 'stop' : 'record'}
      label="Record"
      extra={on ? clockTime((now - since) / 1000) : undefined}
      rest="both sides"
      kind="recording"
      change={(start) => void (start ? call.startRecording() : call.stopRecording())}
    />
  );
}

interface ToggleProps {
  on: boolean;
  icon: Parameters<typeof Icon>[0]['name'];
  label: string;
  /** What follows the label for those who cannot see what it is about. */
  rest: string;
  /** Beside the label, for the eye alone. */
  extra?: string;
  kind?: string;
  change: (on: boolean) => void;
}

function Toggle({ on, icon, label, rest, extra, kind = '', change }: ToggleProps) {
  return (
    <button type="button" class={`button toggle ${kind}`} aria-pressed={on} onClick={() => change(!on)}>
      <Icon name={icon} />
      <span>
        {label}
        <span class="hidden"> {rest}</span>
        {extra !== undefined ? <span class="extra"> {extra}</span> : null}
      </span>
    </button>
  );
}
