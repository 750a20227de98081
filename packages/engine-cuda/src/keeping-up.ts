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
  /** What was changed or is to be feared, for people. */
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
  if (all.ms <= KEEPS_UP_MS) return { slots, keepsUp: true };
  const most = timed.findLast(({ ms }) => ms <= KEEPS_UP_MS)?.sessions ?? 0;
  const took = `on ${where} a frame of ${sessions(all.sessions)} takes ${Math.ceil(all.ms)} of its 80 ms`;
  if (most === 0) {
    const kept = asked ? slots : 1;
    const alone = timed[0]!;
    const cure = 'sound will break up; take weights of fewer bits, a shorter context or a faster device';
    const note = `on ${where} a frame of ${sessions(alone.sessions)} takes ${Math.ceil(alone.ms)} of its 80 ms: ${cure}`;
    return { slots: kept, keepsUp: false, note };
  }
  if (asked) return { slots, keepsUp: false, note: `${took}: sound will break up; ${sessions(most)} would keep up` };
  return { slots: most, keepsUp: true, note: `${took}: it has ${sessions(most)} in place of ${slots}, which keep up` };
}
