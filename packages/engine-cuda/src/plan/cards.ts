import type { Hardware } from '../hardware';
import { type Attempt, attempts, MOST_SLOTS, made, most, type Plan } from './fit';
import { LIMIT_MS } from './ladder';
import type { Place } from './needs';
import { checkOverrides, type PlanOverrides } from './overrides';
import { places } from './places';
import type { Model } from './shapes';

/** What cards share is settled for all of them. */
export type CardOverrides = Omit<PlanOverrides, 'device'>;

interface Card {
  place: Place;
  /** One for each form of the ladder. */
  tried: Attempt[];
}

/** A card that holds a form, and how many conversations it takes in it. */
interface Able {
  card: Card;
  room: number;
}

/**
 * A plan for each card that is to share a model's conversations, in the driver's order: all run the same form, the best one in which
 * they hold all that were asked for, or one. The fewest cards that hold them, or every card that holds one when no number was asked for.
 * Cards that are named are all used, slow as they may be. None when the cards do not hold them.
 */
export function planCards(
  hardware: Hardware,
  model: Model,
  { slots, ...overrides }: CardOverrides = {},
  named?: readonly number[],
): Plan[] {
  checkOverrides({ ...overrides, slots }, model.shape);
  const cards = places(hardware).flatMap((one): Card[] => {
    if (!('place' in one) || one.device === 'cpu') return [];
    if (named && !named.includes(Number(one.device.slice(5)))) return [];
    return [{ place: one.place, tried: attempts(model, one.place, overrides, LIMIT_MS) }];
  });
  if (named && cards.length < named.length) return [];
  const roomOn = ({ place, tried }: Card, rung: number, slow: boolean): number => {
    const one = tried[rung]!;
    if (one.short || (one.late && !slow)) return 0;
    if (slow || one.ms === null) return slots === undefined ? 1 : Math.min(one.held, MOST_SLOTS);
    return most(model, one, place, overrides);
  };
  const rungs = cards[0]?.tried.map((_, rung) => rung) ?? [];
  const attempt = (rung: number, slow: boolean): Plan[] | undefined => {
    const able = cards.flatMap((card) => {
      const room = roomOn(card, rung, slow);
      return room > 0 ? [{ card, room }] : [];
    });
    if (able.length === 0 || (named && able.length < cards.length)) return undefined;
    const shares = slots === undefined ? able.map(() => undefined) : share(able, slots, named !== undefined);
    return shares?.flatMap((share, index) => {
      if (share === 0) return [];
      const { place } = able[index]!.card;
      const settled = { ...overrides, ...(share !== undefined && { slots: share }) };
      return [made(model, attempts(model, place, settled, LIMIT_MS), rung, place, settled)];
    });
  };
  for (const rung of rungs) {
    const plans = attempt(rung, false);
    if (plans) return plans;
  }
  // Of forms that are too slow the last is the least so.
  for (const rung of named ? rungs.reverse() : []) {
    const plans = attempt(rung, true);
    if (plans) return plans;
  }
  return [];
}

/** How many of `slots` conversations each card takes; undefined when they do not hold them. */
function share(able: readonly Able[], slots: number, all: boolean): number[] | undefined {
  const roomiest = able.map((_, index) => index).sort((a, b) => able[b]!.room - able[a]!.room || a - b);
  const used: number[] = [];
  let room = 0;
  for (const index of roomiest) {
    if (room >= slots && !all) break;
    used.push(index);
    room += able[index]!.room;
  }
  if (room < slots || used.length > slots) return undefined;
  const shares = able.map(() => 0);
  for (let left = slots; left > 0; left--) {
    const free = used.filter((index) => shares[index]! < able[index]!.room);
    const next = free.reduce((least, index) => (shares[index]! < shares[least]! ? index : least));
    shares[next]!++;
  }
  return shares;
}
