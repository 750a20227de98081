import { describe, expect, it } from 'vitest';
import type { Hardware } from '../src';
import { SHAPES } from '../src/plan/shapes';
import { type Choice, checkCards, checkGpu, chooseTargets, type GpuChoice, type TargetOptions } from '../src/targets';
import { busy, card, MACHINES, machine } from './support/machines';

const PERSONAPLEX = { name: 'mine', shape: { ...SHAPES['personaplex-7b'], storedBits: 16 } };
const RTX_4090 = card('RTX 4090', '8.9', 24, 1008);
const RTX_3090 = card('RTX 3090', '8.6', 24, 936);
const ONE = machine([RTX_4090]);
const TWO = machine([RTX_3090, RTX_3090]);
const HALF = machine([RTX_4090, busy(RTX_4090, 12e9)]);
const SMALL = machine([card('RTX 2070', '7.5', 8, 448)]);
const TINY = machine([busy(RTX_4090, 3e9)]);
const NONE = machine([]);
const HUNG = {
  ...NONE,
  gpuProblem: { code: 'GPU_PROBE_TIMED_OUT', message: 'the driver did not answer: restart the machine' } as const,
};
const OLD = MACHINES.find(({ name }) => name === 'driver too old')!.hardware;

const choose = (hardware: Hardware, options: TargetOptions = {}) => chooseTargets(hardware, PERSONAPLEX, options);
const brief = ({ targets }: Choice) =>
  targets.map(({ device, weights, kv, context, slots }) => `${device} ${weights} ${kv} ${context} ${slots}`);

describe('a model goes', () => {
  it.each<[string, Hardware, TargetOptions, string[]]>([
    ['to the GPU, as the plan says', ONE, {}, ['cuda:0 bf16 f16 3000 5']],
    ['as auto says', ONE, { gpu: 'auto', weights: 'auto', kv: 'auto' }, ['cuda:0 bf16 f16 3000 5']],
    ['to a small GPU in a small form', SMALL, {}, ['cuda:0 mixed q8 3000 1']],
    ['to all GPUs that suit it', TWO, { gpu: true }, ['cuda:0 bf16 f16 3000 5', 'cuda:1 bf16 f16 3000 5']],
    ['to the one that is named', TWO, { gpu: 1 }, ['cuda:1 bf16 f16 3000 5']],
    ['to those that are named', TWO, { gpu: [0, 1] }, ['cuda:0 bf16 f16 3000 5', 'cuda:1 bf16 f16 3000 5']],
    ['to one when that is enough', TWO, { slots: 2 }, ['cuda:0 bf16 f16 3000 2']],
    ['to two when one is not', TWO, { slots: 7 }, ['cuda:0 bf16 f16 3000 4', 'cuda:1 bf16 f16 3000 3']],
    ['past a half-full GPU', HALF, {}, ['cuda:0 bf16 f16 3000 5']],
    ['to a half-full GPU that is named', HALF, { gpu: 1 }, ['cuda:1 q8 f16 3000 1']],
    ['in the form that is asked for', ONE, { weights: 'q8', kv: 'q8', slots: 3 }, ['cuda:0 q8 q8 3000 3']],
    ['with the context that is asked for', ONE, { context: 1000 }, ['cuda:0 bf16 f16 1000 17']],
    ['as its file has it', ONE, { weights: 'stored' }, ['cuda:0 stored f16 3000 5']],
    ['with less memory left alone', TINY, { gpu: 0, reservedBytes: 0, paramsBillions: 1 }, ['cuda:0 q8 f16 3000 1']],
    ['to the CPU without a GPU', NONE, {}, ['cpu auto auto 0 1']],
    ['to the CPU with its options', NONE, { weights: 'q4', kv: 'q8', slots: 2 }, ['cpu q4 q8 0 2']],
    ['to the CPU when the driver hangs', HUNG, { slots: 2 }, ['cpu auto auto 0 2']],
    ['to the CPU when the GPU is full', TINY, {}, ['cpu auto auto 0 1']],
    ['to the CPU when the GPU is full whatever is asked for', TINY, { weights: 'q8' }, ['cpu q8 auto 0 1']],
    ['to the CPU when the driver is too old', OLD, {}, ['cpu auto auto 0 1']],
  ])('%s', (_, hardware, options, expected) => {
    const choice = choose(hardware, options);
    expect(brief(choice)).toEqual(expected);
    for (const { device, plan } of choice.targets) expect(plan?.device).toBe(device === 'cpu' ? undefined : device);
  });

  it.each<[string, Hardware, TargetOptions, string[]]>([
    ['nothing of a GPU that suits', ONE, {}, []],
    ['nothing of a machine without one', NONE, {}, []],
    ['why the driver gave none', HUNG, {}, ['it runs on the CPU: the driver did not answer: restart the machine']],
    ['why the GPU is too full', TINY, {}, ['it runs on the CPU: cuda:0 has 3.0 GB free and q4, int8 KV']],
    ['that the driver is too old', OLD, {}, ['it runs on the CPU: cuda:0 ']],
    [
      'which GPU is left out',
      HALF,
      {},
      ['cuda:1 is not used: it would run q8, f16 KV, context 3000, and cuda:0 runs bf16'],
    ],
    ['why it is', machine([RTX_4090, busy(RTX_4090, 1e9)]), {}, ['cuda:1 is not used: cuda:1 has 1.0 GB free']],
    ['nothing of GPUs that the user left out', HALF, { gpu: 0 }, []],
    ['nothing of GPUs that few sessions need not', TWO, { slots: 1 }, []],
  ])('and it is said: %s', (_, hardware, options, expected) => {
    const { notes } = choose(hardware, options);
    expect(notes).toEqual(expected.map((note) => expect.stringContaining(note)));
  });

  it.each<[string, Hardware, TargetOptions, RegExp]>([
    [
      'weights that are too large',
      SMALL,
      { weights: 'bf16' },
      /^mine cannot run as asked: cuda:0 has 8\.3 GB free and bf16, .*needs 16\.6 GB\. What would: mine on cuda:0 \(q4\/q8 mixed, int8 KV, context 3000, 1 session\); with gpu: false/,
    ],
    ['too many sessions', ONE, { slots: 99 }, /99 sessions needs .*\. What would: mine on cuda:0 \(bf16/],
    [
      'too many sessions for two',
      TWO,
      { slots: 99 },
      /cuda:0 and cuda:1 hold 10 sessions in bf16, .*99 were asked for\. What would: mine on cuda:0 \(.*\) and mine on cuda:1 \(/,
    ],
    [
      'a model that is too large for the GPU that is named',
      TINY,
      { gpu: 0 },
      /3\.0 GB free.*\. Free memory of the GPU/,
    ],
    ['a model that is too large for any', TINY, { gpu: true }, /3\.0 GB free.*with gpu: false it runs on the CPU/],
    ['fewer sessions than GPUs', TWO, { gpu: [0, 1], slots: 1 }, /^slots is 1 and gpu names 2 GPUs/],
    ['a context beyond its own', ONE, { context: 3001 }, /^context is 3001/],
  ])('and it is refused: %s', (_, hardware, options, message) => {
    expect(() => choose(hardware, options)).toThrow(expect.objectContaining({ code: 'ENGINE_BAD_OPTION' }));
    expect(() => choose(hardware, options)).toThrow(message);
  });
});

describe('gpu', () => {
  it.each([undefined, 'auto', true, false, 0, 7, [0], [1, 0]])('may be %j', (gpu) => {
    expect(() => checkGpu(gpu as GpuChoice)).not.toThrow();
  });

  it.each(['cuda', -1, 1.5, [], [0, 0], [0, -1], ['0'], null, {}])('may not be %j', (gpu) => {
    expect(() => checkGpu(gpu as GpuChoice)).toThrow(/^gpu is .*must be 'auto', true, false, the index/);
  });

  it.each<[string, Hardware, GpuChoice, RegExp]>([
    ['there is none', NONE, true, /^gpu is true: there is no NVIDIA GPU, or its driver is missing/],
    ['the driver hangs', HUNG, 0, /^gpu is 0: the driver did not answer: restart the machine; with gpu: false/],
    ['there is no such one', TWO, [0, 2], /^gpu is \[0,2\]: there is no GPU 2, this machine has 0 \(RTX 3090\), 1/],
    ['its driver is too old', OLD, 0, /install driver 384 or newer/],
    ['all drivers are too old', OLD, true, /install driver 384 or newer/],
  ])('is refused where %s', (_, hardware, gpu, message) => {
    expect(() => checkCards(hardware, gpu)).toThrow(message);
  });

  it('is taken where it is', () => {
    for (const gpu of [true, 0, 1, [0, 1]]) expect(() => checkCards(TWO, gpu)).not.toThrow();
    // One that cannot be used does not stand in the way of the other.
    const mixed = machine([RTX_3090, card('GTX 780', '3.5', 3, 288)]);
    expect(() => checkCards(mixed, true)).not.toThrow();
    expect(() => checkCards(mixed, 1)).toThrow('compute capability 3.5 is below 6.1');
  });
});
