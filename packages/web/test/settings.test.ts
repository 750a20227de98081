import { describe, expect, it } from 'vitest';
import {
  defaultSettings,
  loadSettings,
  parametersOf,
  type Store,
  samplingFields,
  saveSettings,
  withSampling,
} from '../src/state/settings';

const storeOf = (text: string | null): Store & { text: string | null } => {
  const store = {
    text,
    getItem: () => store.text,
    setItem: (_: string, value: string) => {
      store.text = value;
    },
  };
  return store;
};

describe('settings', () => {
  it('come back as they were kept', () => {
    const store = storeOf(null);
    const chosen = {
      ...{ ...defaultSettings, voice: 'NATF2', prompt: 'You are kind.', sampling: { textTopK: 100, padMult: -1.5 } },
      ...{ seed: 7, inputId: 'a', outputId: 'b', volume: 0.4, noiseSuppression: false, theme: 'dark' as const },
    };
    saveSettings(store, chosen);
    expect(loadSettings(store)).toEqual(chosen);
  });

  it.each([
    null,
    '',
    '{',
    '7',
    '[]',
    '"x"',
    '{"sampling":7,"voice":{},"volume":"loud","seed":-1,"theme":"pink","prompt":3}',
    `{"voice":"${'x'.repeat(300)}","sampling":{"textTopK":1e9,"padMult":"much","toString":1}}`,
  ])('are the defaults where %s was kept', (text) => {
    expect(loadSettings(storeOf(text))).toEqual(defaultSettings);
  });

  it('do without a store, and with one that is forbidden', () => {
    const forbidden: Store = {
      getItem: () => {
        throw new Error('forbidden');
      },
      setItem: () => {
        throw new Error('forbidden');
      },
    };
    expect(loadSettings(forbidden)).toEqual(defaultSettings);
    expect(loadSettings(undefined)).toEqual(defaultSettings);
    expect(() => saveSettings(forbidden, defaultSettings)).not.toThrow();
  });

  it('open a conversation with nothing but what was chosen', () => {
    expect(parametersOf(defaultSettings)).toEqual({});
    const chosen = {
      ...defaultSettings,
      voice: 'NATM1',
      prompt: '  You are kind. ',
      seed: 0,
      sampling: { audioTopK: 9 },
    };
    expect(parametersOf(chosen)).toEqual({ voice: 'NATM1', prompt: 'You are kind.', seed: 0, audioTopK: 9 });
  });

  it('leave a slider out that is back where the makers set it, or out of bounds', () => {
    const field = samplingFields.find(({ name }) => name === 'textTemperature')!;
    const changed = withSampling(defaultSettings, field, 0.9);
    expect(changed.sampling).toEqual({ textTemperature: 0.9 });
    expect(withSampling(changed, field, field.byDefault).sampling).toEqual({});
    expect(withSampling(changed, field, 99).sampling).toEqual({});
    expect(withSampling(changed, field, Number.NaN).sampling).toEqual({});
  });
});
