import { describe, expect, it } from 'vitest';
import { type Hardware, type Plan, plan } from '../src';
import { planCards } from '../src/plan/cards';
import { SHAPES } from '../src/plan/shapes';
import { busy, card, MACHINES, machine } from './support/machines';

const PERSONAPLEX = { name: 'personaplex-7b', shape: SHAPES['personaplex-7b'] };
const TWO = MACHINES.find(({ name }) => name === 'two RTX 3090')!.hardware;
const RTX_4090 = card('RTX 4090', '8.9', 24, 1008);
const HALF = machine([RTX_4090, busy(RTX_4090, 12e9)]);
const TURNED = machine([...HALF.gpus].reverse());
const SLOW = machine([card('GT 1030', '6.1', 24, 48)]);

const brief = (plans: Plan[]) => plans.map(({ device, weights, kv, slots }) => `${device} ${weights} ${kv} ${slots}`);

describe('plans for several cards', () => {
  it.each(MACHINES.filter(({ hardware }) => hardware.gpus.length === 1))('of one are its plan: $name', (one) => {
    const own = typeof one.runs === 'string' || one.runs[0] === 'cpu' ? [] : [plan(one.hardware, 'personaplex-7b')];
    expect(planCards(one.hardware, PERSONAPLEX)).toEqual(own);
  });

  it.each<[string, Hardware, object, number[] | undefined, string[]]>([
    ['all take what they hold', TWO, {}, undefined, ['cuda:0 bf16 f16 5', 'cuda:1 bf16 f16 5']],
    ['few sessions stay on one card', TWO, { slots: 5 }, undefined, ['cuda:0 bf16 f16 5']],
    ['more are spread evenly', TWO, { slots: 6 }, undefined, ['cuda:0 bf16 f16 3', 'cuda:1 bf16 f16 3']],
    ['many take a smaller form', TWO, { slots: 11 }, undefined, ['cuda:0 q8 f16 6', 'cuda:1 q8 f16 5']],
    ['too many have no plan', TWO, { slots: 100 }, undefined, []],
    ['a named card alone', TWO, {}, [1], ['cuda:1 bf16 f16 5']],
    ['named cards are all used', TWO, { slots: 2 }, [0, 1], ['cuda:0 bf16 f16 1', 'cuda:1 bf16 f16 1']],
    ['a card that is not there', TWO, {}, [0, 2], []],
    ['a half-full card is left out', HALF, {}, undefined, ['cuda:0 bf16 f16 5']],
    ['unless it holds the form', HALF, { weights: 'q8' }, undefined, ['cuda:0 q8 f16 10', 'cuda:1 q8 f16 1']],
    ['or is named', HALF, {}, [0, 1], ['cuda:0 q8 f16 10', 'cuda:1 q8 f16 1']],
    ['and takes no more than it holds', HALF, { slots: 6 }, [0, 1], ['cuda:0 q8 f16 5', 'cuda:1 q8 f16 1']],
    ['the roomier card first', TURNED, { weights: 'q8', slots: 4 }, undefined, ['cuda:1 q8 f16 4']],
    ['a slow card is not chosen', SLOW, {}, undefined, []],
    ['but may be named', SLOW, { slots: 3 }, [0], ['cuda:0 q4 q8 3']],
    ['unknown bandwidth promises one', machine([{ ...RTX_4090, bandwidth: null }]), {}, undefined, ['cuda:0 q8 f16 1']],
  ])('%s', (_, hardware, overrides, named, expected) => {
    const plans = planCards(hardware, PERSONAPLEX, overrides, named);
    expect(brief(plans)).toEqual(expected);
    for (const { device, bytes } of plans) {
      expect(bytes.total).toBeLessThanOrEqual(hardware.gpus[Number(device.slice(5))]!.memory.freeBytes);
    }
  });

  it('say why they are not in a better form', () => {
    const [whole, half] = planCards(HALF, PERSONAPLEX, {}, [0, 1]);
    expect(whole!.reasons).toContain('bf16, f16 KV, context 3000 does not suit all the cards that are used');
    expect(half!.reasons).toContain('bf16, f16 KV, context 3000 would need 17.7 GB');
  });
});
