import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ChaosPipe, type Faults } from '../support/chaos-pipe';

/** A socket that notes when it is given what; both on the clock of the test. */
class FakeSocket extends EventEmitter {
  readonly writable = true;
  readonly written: { readonly at: number; readonly bytes: Buffer }[] = [];
  endedAt: number | undefined;
  paused = false;
  write(bytes: Buffer) {
    this.written.push({ at: performance.now(), bytes });
  }
  end() {
    this.endedAt = performance.now();
  }
  pause() {
    this.paused = true;
  }
  resume() {
    this.paused = false;
  }
}

describe('a pipe of the chaos proxy, on a clock of the test', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 0 });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const none: Faults = {
    latencyMs: 0,
    jitterMs: 0,
    detourMs: 0,
    detourShare: 0,
    bytesPerSecond: 0,
    splitBytes: 0,
    hole: false,
  };
  function pipe(faults: Partial<Faults>) {
    const [from, to] = [new FakeSocket(), new FakeSocket()];
    const line = new ChaosPipe(from as unknown as Socket, to as unknown as Socket, { ...none, ...faults });
    const start = performance.now();
    /** When each delivery came, in milliseconds from the start, and how many bytes it had. */
    const deliveries = () => to.written.map(({ at, bytes }) => [Math.round(at - start), bytes.length]);
    return { from, to, line, start, deliveries };
  }
  /** One byte every `everyMs`, numbered; returns how late each was, in order. */
  async function delays(faults: Partial<Faults>, count: number, everyMs: number) {
    const { from, to, start } = pipe(faults);
    for (let n = 0; n < count; n++) {
      from.emit('data', Buffer.of(n));
      await vi.advanceTimersByTimeAsync(everyMs);
    }
    await vi.advanceTimersByTimeAsync(5000);
    expect(Buffer.concat(to.written.map(({ bytes }) => bytes))).toEqual(
      Buffer.from(Array.from({ length: count }, (_, n) => n)),
    );
    return to.written.map(({ at }, n) => at - start - n * everyMs);
  }

  it('passes on at once where nothing is wrong', async () => {
    expect(await delays({}, 3, 10)).toEqual([0, 0, 0]);
  });

  it('adds its delay, to ends too', async () => {
    const { from, to, start, deliveries } = pipe({ latencyMs: 30 });
    from.emit('data', Buffer.from('hello'));
    from.emit('end');
    await vi.advanceTimersByTimeAsync(29);
    expect(deliveries()).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(deliveries()).toEqual([[30, 5]]);
    expect(to.endedAt! - start).toBe(30);
  });

  it('adds up to its jitter, another one each time', async () => {
    const found = await delays({ latencyMs: 30, jitterMs: 40 }, 100, 50);
    // A timer comes when a millisecond is full.
    for (const delay of found) expect(delay).toBeGreaterThanOrEqual(30);
    for (const delay of found) expect(delay).toBeLessThanOrEqual(71);
    expect(Math.min(...found)).toBeLessThan(35);
    expect(Math.max(...found)).toBeGreaterThan(65);
    expect(new Set(found).size).toBeGreaterThan(20);
  });

  it('takes no more than its rate, and saves none up', async () => {
    const { from, deliveries } = pipe({ bytesPerSecond: 20_000 });
    await vi.advanceTimersByTimeAsync(1000);
    from.emit('data', Buffer.alloc(2000));
    await vi.advanceTimersByTimeAsync(1000);
    expect(deliveries()).toEqual([1000, 1020, 1040, 1060, 1080].map((at) => [at, 400]));
    from.emit('data', Buffer.alloc(500));
    await vi.advanceTimersByTimeAsync(1000);
    expect(deliveries().slice(5)).toEqual([
      [2000, 400],
      [2020, 100],
    ]);
  });

  it('holds its sender back when a slow line is full, and takes more when there is room', async () => {
    const { from, to } = pipe({ bytesPerSecond: 100_000 });
    from.emit('data', Buffer.alloc(200 * 1024));
    expect(from.paused).toBe(false);
    from.emit('data', Buffer.alloc(100 * 1024));
    expect(from.paused).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(from.paused).toBe(true);
    await vi.advanceTimersByTimeAsync(5000);
    expect(from.paused).toBe(false);
    expect(to.written.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBe(300 * 1024);
  });

  it('hands out what was overtaken and what overtook it together, in order', async () => {
    const found = await delays({ detourMs: 100, detourShare: 0.2 }, 100, 20);
    expect(found.filter((delay) => delay === 100).length).toBeGreaterThan(5);
    expect(found.filter((delay) => delay === 0).length).toBeGreaterThan(20);
    // What is sent 20 ms behind one that is late comes in the same moment, unless it is late itself.
    for (const [n, delay] of found.entries()) {
      expect([100, Math.max(0, (found[n - 1] ?? 0) - 20)]).toContain(delay);
    }
  });

  it('has no detours unless there are some', async () => {
    expect(await delays({ detourMs: 100 }, 20, 20)).toEqual(new Array(20).fill(0));
    expect(await delays({ detourShare: 1 }, 20, 20)).toEqual(new Array(20).fill(0));
    expect(await delays({ detourMs: 100, detourShare: 1 }, 20, 20)).toEqual(new Array(20).fill(100));
  });

  it('delivers nothing during a stall, and all of it after', async () => {
    const { from, line, deliveries } = pipe({ latencyMs: 10 });
    line.stall(200);
    for (let n = 0; n < 3; n++) {
      from.emit('data', Buffer.alloc(7));
      await vi.advanceTimersByTimeAsync(50);
    }
    await vi.advanceTimersByTimeAsync(49);
    expect(deliveries()).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(deliveries()).toEqual([200, 200, 200].map((at) => [at, 7]));
  });
});
