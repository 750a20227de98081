import { sessions } from './plan/words';

/** How long a frame of so many conversations took when the engine timed itself, in milliseconds. */
export interface Rehearsed {
  sessions: number;
  ms: number;
}

const FRAME_MS = 80;
// A tenth of a frame is for what happens around the model: Opus, the network, the collection of garbage.
const KEEPS_UP_MS = 0.9 * FRAME_MS;

/** What the times of an engine say of its slots. */
export interface KeptSlots {
  slots: number;
  /** Whether a frame of all slots leaves time to spare; null when that was not timed. */
  keepsUp: boolean | null;
  /** That in words; left out where nothing was timed. */
  note?: string;
}

/**
 * The slots that keep up, at least one: as many as there are when they were asked for, however slow that is. `where` is the device, for
 * the note.
 */
export function keptSlots(
  rehearsal: readonly Rehearsed[] | undefined,
  { slots, asked, where }: { slots: number; asked: boolean; where: string },
): KeptSlots {
  const timed = (rehearsal ?? []).filter(({ sessions }) => sessions <= slots).sort((a, b) => a.sessions - b.sessions);
  const all = timed.at(-1);
  if (!all) return { slots, keepsUp: null };
  const took = ({ sessions: count, ms }: Rehearsed) =>
    `on ${where} a frame of ${sessions(count)} takes ${Math.ceil(ms)} of its ${FRAME_MS} ms`;
  if (all.ms <= KEEPS_UP_MS) return { slots, keepsUp: true, note: `${took(all)}: it keeps up` };
  const most = timed.findLast(({ ms }) => ms <= KEEPS_UP_MS)?.sessions ?? 0;
  const late = (one: Rehearsed) => `${took(one)}, and ${KEEPS_UP_MS} is the limit`;
  if (most === 0) {
    const cure = 'take weights of fewer bits, a shorter context or a faster device';
    const note = `${late(timed[0]!)}: sound will break up; ${cure}`;
    return { slots: asked ? slots : 1, keepsUp: false, note };
  }
  if (asked)
    return { slots, keepsUp: false, note: `${late(all)}: sound will break up; ${sessions(most)} would keep up` };
  return { slots: most, keepsUp: true, note: `${late(all)}: ${sessions(most)} in place of ${slots} keep up` };
}
