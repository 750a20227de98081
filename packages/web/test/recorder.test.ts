import type { Recording } from '@moshi/client';
import { expect, it } from 'vitest';
import { Recorder } from '../src/state/recorder';

function recorder() {
  const begun: (() => void)[] = [];
  const saved: Uint8Array[] = [];
  const recorder = new Recorder({
    save: (wav) => {
      saved.push(wav);
      return { url: 'blob:none', name: 'x.wav' };
    },
  });
  const session = {
    record: () =>
      new Promise<Recording>((resolve) => {
        begun.push(() => resolve({ seconds: 1, stop: async () => new Uint8Array(44) }));
      }),
  };
  return { recorder, session, begun, saved };
}

it('records once, however often it is pressed', async () => {
  const { recorder: one, session, begun, saved } = recorder();
  const starts = [one.start(session), one.start(session)];
  expect(begun).toHaveLength(1);
  begun[0]!();
  await Promise.all(starts);
  expect(one.since.value).toBeDefined();
  await Promise.all([one.stop(), one.stop()]);
  expect(saved).toHaveLength(1);
  expect([one.since.value, one.saved.value]).toEqual([undefined, { url: 'blob:none', name: 'x.wav' }]);
});

it('saves what began when the call was ending already, and counts no time for it', async () => {
  const { recorder: one, session, begun, saved } = recorder();
  const started = one.start(session);
  const stopped = one.stop();
  begun[0]!();
  await Promise.all([started, stopped]);
  expect([saved.length, one.since.value]).toEqual([1, undefined]);
});

it('begins anew after it could not begin', async () => {
  const { recorder: one, session, begun, saved } = recorder();
  await expect(one.start({ record: () => Promise.reject(new Error('no sound')) })).rejects.toThrow('no sound');
  await one.stop();
  expect(saved).toEqual([]);
  const started = one.start(session);
  begun[0]!();
  await started;
  expect(one.since.value).toBeDefined();
});
