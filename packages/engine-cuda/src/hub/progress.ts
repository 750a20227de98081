/** How far one file's download is. */
export interface DownloadProgress {
  /** Name of the file inside its repository. */
  readonly file: string;
  /** Bytes on the disk by now, those of an earlier, broken download included. */
  readonly received: number;
  /** Bytes of the whole file; undefined when the hub does not say. */
  readonly total: number | undefined;
  /** Mean speed of this download so far; undefined until it can be told. */
  readonly bytesPerSecond?: number;
}

/** Receives progress, about ten times a second and once at the end of each file. */
export type ProgressListener = (progress: DownloadProgress) => void;

/** Turns counts of bytes into {@link DownloadProgress} at a bearable rate. */
export class ProgressMeter {
  readonly #file: string;
  readonly #total: number | undefined;
  readonly #listener: ProgressListener | undefined;
  #startedAt = 0;
  #startedFrom = 0;
  #reportedAt = 0;

  constructor(file: string, total: number | undefined, listener: ProgressListener | undefined) {
    this.#file = file;
    this.#total = total;
    this.#listener = listener;
  }

  /** Begins anew at `received` bytes, which were there before. */
  start(received: number): void {
    this.#startedAt = performance.now();
    this.#startedFrom = received;
    this.#report(received);
  }

  /** Reports `received` bytes unless a report was made within the last 100 ms. */
  update(received: number): void {
    if (performance.now() - this.#reportedAt >= 100) this.#report(received);
  }

  /** Reports `received` bytes in any case. */
  end(received: number): void {
    this.#report(received);
  }

  #report(received: number): void {
    this.#reportedAt = performance.now();
    const seconds = (this.#reportedAt - this.#startedAt) / 1000;
    const file = this.#file;
    const total = this.#total;
    const fresh = received - this.#startedFrom;
    const bytesPerSecond = seconds > 0.2 && fresh > 0 ? fresh / seconds : undefined;
    this.#listener?.({ file, received, total, ...(bytesPerSecond !== undefined && { bytesPerSecond }) });
  }
}

/** Bytes in words, for example `1.2 GB` (decimal units, as disks and hubs count). */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
