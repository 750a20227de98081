import type { MoshiError } from '../errors';
import type { ReconnectingEvent } from '../events';
import { LONGEST_MS, type Timer } from '../timer';
import type { NetworkMonitor } from './network';
import type { ReconnectPolicy } from './policy';

/** Says when to try again, by its policy; without a network it waits for one, and that time does not count. */
export class Reconnector {
  readonly #policy: ReconnectPolicy;
  readonly #network: NetworkMonitor | undefined;
  readonly #attempt: () => void;
  #failures = 0;
  #lostAt: number | undefined;
  #offlineSince: number | undefined;
  #waiting = false;
  #timer: Timer | undefined;

  /** `attempt` is called when it is time to. */
  constructor(policy: ReconnectPolicy, network: NetworkMonitor | undefined, attempt: () => void) {
    this.#policy = policy;
    this.#network = network;
    this.#attempt = attempt;
  }

  /** The connection was lost, or an attempt failed: the next one is on its way, or undefined when that is given up. */
  failed(error: MoshiError, graceMs: number | undefined): ReconnectingEvent | undefined {
    const now = performance.now();
    if (this.#lostAt === undefined) this.#lostAt = now;
    // An attempt without a network says nothing about the server.
    else if (this.#online) this.#failures++;
    const context = { attempt: this.#failures, elapsedMs: now - this.#lostAt, error, graceMs };
    const delayMs = this.#policy.nextDelayMs(context);
    // What is no time ends it: a timer would take it for at once, again and again.
    if (delayMs === null || !(delayMs <= LONGEST_MS)) return undefined;
    this.#waiting = true;
    if (!this.#online) this.#offlineSince ??= now;
    this.#timer = setTimeout(() => this.#due(), Math.max(0, delayMs));
    return { attempt: this.#failures, delayMs, error };
  }

  /** Something changed for the better: an attempt that waits is made now. */
  hurry(): void {
    if (this.#offlineSince !== undefined && this.#online) {
      if (this.#lostAt !== undefined) this.#lostAt += performance.now() - this.#offlineSince;
      this.#offlineSince = undefined;
    }
    if (this.#waiting) this.#due();
  }

  /** The network went away. */
  offline(): void {
    if (this.#lostAt !== undefined) this.#offlineSince ??= performance.now();
  }

  /** A connection holds: the next loss is another one. */
  settled(): void {
    this.#lostAt = undefined;
    this.#offlineSince = undefined;
    this.#failures = 0;
  }

  stop(): void {
    this.#waiting = false;
    clearTimeout(this.#timer);
  }

  get #online(): boolean {
    return this.#network?.online !== false;
  }

  #due(): void {
    clearTimeout(this.#timer);
    if (!this.#online) return;
    this.#waiting = false;
    this.#attempt();
  }
}
