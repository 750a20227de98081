import { EventEmitter } from 'eventemitter3';

/** Listeners by event name; only the class itself tells them something. */
export abstract class Listeners<Events extends object> {
  readonly #emitter = new EventEmitter();

  on<E extends keyof Events>(event: E, listener: Events[E]): this {
    this.#emitter.on(event as string, listener as () => void);
    return this;
  }

  off<E extends keyof Events>(event: E, listener: Events[E]): this {
    this.#emitter.off(event as string, listener as () => void);
    return this;
  }

  protected emit<E extends keyof Events>(
    event: E,
    ...args: Events[E] extends (...args: infer Args) => void ? Args : never
  ): void {
    this.#emitter.emit(event as string, ...args);
  }
}
