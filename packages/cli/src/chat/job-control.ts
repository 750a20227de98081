/** What is left to the shell and taken back. */
export interface Holder {
  pause(): void;
  resume(): void;
}

/**
 * Job control of a shell: when this program is to stop, the terminal is given back first, and whoever lets it go on finds all as
 * it was. Windows has none.
 */
export class JobControl {
  readonly #holder: Holder;
  readonly #kill: typeof process.kill;
  readonly #onStop = () => this.#stop();
  readonly #onContinue = () => this.#holder.resume();

  constructor(holder: Holder, kill: typeof process.kill = process.kill.bind(process)) {
    this.#holder = holder;
    this.#kill = kill;
    if (process.platform === 'win32') return;
    process.on('SIGTSTP', this.#onStop);
    process.on('SIGCONT', this.#onContinue);
  }

  /** Stops this program with all that belong to it, as a terminal does on Ctrl+Z: who runs it, as npx, and what it runs. */
  suspend(): void {
    if (process.platform !== 'win32') this.#kill(0, 'SIGTSTP');
  }

  end(): void {
    process.off('SIGTSTP', this.#onStop);
    process.off('SIGCONT', this.#onContinue);
  }

  #stop(): void {
    this.#holder.pause();
    this.#kill(process.pid, 'SIGSTOP');
  }
}
