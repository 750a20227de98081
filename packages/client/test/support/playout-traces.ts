import { lcg } from './signal';

/** When each frame of 80 ms (or piece of it) reaches the listener. */
export interface Trace {
  readonly name: string;
  readonly arrivals: readonly { readonly atMs: number; readonly ms: number }[];
}

/** Frames sent every 80 ms; `delay` says how long each is on its way. Later ones never pass earlier ones: it is TCP. */
function trace(name: string, seconds: number, delay: (atMs: number) => number, pieceMs = 80): Trace {
  const arrivals: { atMs: number; ms: number }[] = [];
  let last = 0;
  for (let sent = 0; sent < seconds * 1000; sent += 80) {
    last = Math.max(last, sent + delay(sent));
    for (let part = 0; part < 80; part += pieceMs) arrivals.push({ atMs: last, ms: pieceMs });
  }
  return { name, arrivals };
}

/** A network that holds everything back until `until`, once `at` has come. */
const stall = (atMs: number, from: number, until: number) => (atMs >= from && atMs < until ? until - atMs : 0);

/** What wired, wireless and mobile networks do to a reply, by their known shapes. */
export function traces(seed = 1): Trace[] {
  const random = lcg(seed);
  const exponential = (mean: number) => -mean * Math.log(1 - random());
  return [
    trace('a wire', 60, () => 2 + random()),
    trace('a wire, two pages a frame', 60, () => 2 + random(), 40),
    trace('Wi-Fi', 120, () => 5 + exponential(6)),
    // Power saving and other stations: the air is taken for a while, again and again.
    trace('Wi-Fi in bursts', 120, (at) => 5 + exponential(3) + stall(at % 1300, 900, 900 + 60)),
    trace('a mobile network', 120, () => 40 + exponential(25)),
    trace('150 ± 80 ms', 120, () => 70 + 160 * random()),
    trace('a stall of 300 ms', 30, (at) => 3 + stall(at, 10_000, 10_300)),
    trace('a stall of 3 s', 30, (at) => 3 + stall(at, 10_000, 13_000)),
    trace('a stall of 250 ms every 8 s', 120, (at) => 3 + stall(at % 8000, 5000, 5250)),
    trace('a hiccup of 70 ms every 15 s', 240, (at) => 3 + stall(at % 15_000, 7000, 7070)),
    trace('a resumed connection', 40, (at) => 3 + stall(at, 10_000, 11_400)),
  ];
}
