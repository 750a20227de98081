import type { ComponentChildren } from 'preact';
import type { Call } from '../state/call';
import {
  answerAfterMs,
  type Figures,
  missedSeconds,
  type Rating,
  rateAnswer,
  rateBuffer,
  rateMissed,
} from '../state/figures';
import { inSeconds } from '../words';

/** How the conversation goes, in words. */
export function FigureStrip({ call }: { call: Call }) {
  const figures = call.figures.value;
  if (call.phase.value.name === 'idle' || !figures) return null;
  const answer = answerAfterMs(figures);
  const held = figures.playout?.bufferedMs;
  const missed = missedSeconds(figures);
  return (
    <dl class="figure-list">
      <Figure name="Answers after" rating={answer === undefined ? undefined : rateAnswer(answer)}>
        {answer === undefined ? '–' : inSeconds(answer)}
      </Figure>
      <Figure name="Sound in hand" rating={held === undefined ? undefined : rateBuffer(held)}>
        {held === undefined ? '–' : `${Math.round(held / 10) * 10} ms`}
      </Figure>
      <Figure name="Not heard" rating={rateMissed(missed, figures.metrics.audioReceivedSeconds)}>
        {inSeconds(missed * 1000)}
      </Figure>
    </dl>
  );
}

/** The raw figures, folded away. */
export function FiguresCard({ call }: { call: Call }) {
  return (
    <details class="card figures">
      <summary>
        <h2>All figures</h2>
      </summary>
      <dl class="raw">
        {raw(call, call.figures.value).map(([name, value]) => (
          <Raw key={name} name={name} value={value} />
        ))}
      </dl>
    </details>
  );
}

const ratings: Readonly<Record<Rating, string>> = { good: 'good', fair: 'fair', poor: 'poor' };

function Figure({ name, rating, children }: { name: string; rating?: Rating; children: ComponentChildren }) {
  return (
    <div class="figure">
      <dt>{name}</dt>
      <dd>
        <span class="value">{children}</span>
        <span class={`rating ${rating ?? 'none'}`}>{rating ? ratings[rating] : ' '}</span>
      </dd>
    </div>
  );
}

function Raw({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function raw(call: Call, figures: Figures | undefined): [name: string, value: string][] {
  const { model, dialect, version, slots } = call.server.value;
  const server: [string, string][] = [
    ['Model', model ?? 'not told'],
    ['Family', dialect ?? 'not told'],
    ['Places', slots === undefined ? 'not told' : String(slots)],
    ['Server', version === undefined ? 'not told' : `moshi-js ${version}`],
  ];
  if (!figures) return server;
  const { metrics, playout } = figures;
  const ms = (value: number | null | undefined) =>
    value === null || value === undefined ? '–' : `${Math.round(value)} ms`;
  const seconds = (value: number) => `${value.toFixed(1)} s`;
  return [
    ['Round trip', ms(metrics.roundTripMs)],
    ['First sound after', ms(metrics.timeToFirstAudioMs)],
    ['Buffer now / aimed at', playout ? `${ms(playout.bufferedMs)} / ${ms(playout.targetMs)}` : '–'],
    ['Gaps', playout ? `${playout.underruns}, ${ms(playout.missedMs)}` : '–'],
    ['Cut to catch up', playout ? ms(playout.droppedMs) : '–'],
    ['Silence left out', playout ? ms(playout.trimmedMs) : '–'],
    ['Waiting to be sent', ms(metrics.bufferedMs)],
    ['Your speech lost', seconds(metrics.droppedSeconds)],
    ['Sent / received', `${seconds(metrics.audioSentSeconds)} / ${seconds(metrics.audioReceivedSeconds)}`],
    ['Packets broken', String(metrics.lostPackets)],
    ['Messages out / in', `${metrics.messagesSent} / ${metrics.messagesReceived}`],
    ...server,
  ];
}
