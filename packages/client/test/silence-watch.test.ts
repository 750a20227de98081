import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SilenceWatch } from '../src/silence-watch';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watch(timeoutMs = 10_000) {
  const onSilent = vi.fn();
  return { onSilent, watch: new SilenceWatch(timeoutMs, onSilent) };
}

it('suspects a server that answers nothing', () => {
  const { watch: silence, onSilent } = watch();
  silence.audioSent(5 * 1920);
  vi.advanceTimersByTime(9_999);
  silence.audioSent(5 * 1920);
  expect(onSilent).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(onSilent).toHaveBeenCalledOnce();
});

it('does not suspect one that was told too little to answer', () => {
  const { watch: silence, onSilent } = watch();
  silence.audioSent(1920);
  vi.advanceTimersByTime(100_000);
  expect(onSilent).not.toHaveBeenCalled();
});

it('starts anew with every message', () => {
  const { watch: silence, onSilent } = watch();
  for (let i = 0; i < 5; i++) {
    silence.audioSent(5 * 1920);
    vi.advanceTimersByTime(9_000);
    silence.reset();
  }
  vi.advanceTimersByTime(100_000);
  expect(onSilent).not.toHaveBeenCalled();
});

it('expects nothing while suspended, and all of it afterwards', () => {
  const { watch: silence, onSilent } = watch();
  silence.audioSent(5 * 1920);
  silence.suspend(true);
  silence.audioSent(50 * 1920);
  vi.advanceTimersByTime(100_000);
  expect(onSilent).not.toHaveBeenCalled();
  silence.suspend(false);
  silence.audioSent(5 * 1920);
  vi.advanceTimersByTime(10_000);
  expect(onSilent).toHaveBeenCalledOnce();
});

it.each([0, Number.POSITIVE_INFINITY])('can be turned off with %d', (timeoutMs) => {
  const { watch: silence, onSilent } = watch(timeoutMs);
  silence.audioSent(50 * 1920);
  vi.advanceTimersByTime(1_000_000);
  expect(onSilent).not.toHaveBeenCalled();
});
