import type { RefObject } from 'preact';
import type { Page } from '../state/page';
import {
  isSeed,
  MAX_SEED,
  type SamplingField,
  type Settings,
  samplingFields,
  type Theme,
  withSampling,
} from '../state/settings';
import { sampling as words } from '../words';
import { Icon } from './icons';

/** Sampling, what the browser does to the microphone's sound, and colours. */
export function SettingsDialog({ page, dialog }: { page: Page; dialog: RefObject<HTMLDialogElement | null> }) {
  const { settings, change } = page;
  const close = () => dialog.current?.close();
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: a click on what lies around closes it, as Escape does of itself.
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby="settings-title"
      onClick={(event) => {
        if (event.target === dialog.current) close();
      }}
    >
      <div class="dialog-body">
        <div class="dialog-head">
          <h2 id="settings-title">Settings</h2>
          <button type="button" class="icon-button" aria-label="Close settings" onClick={close}>
            <Icon name="close" />
          </button>
        </div>
        <Sampling settings={settings.value} change={change} />
        <fieldset>
          <legend>Microphone</legend>
          <Check page={page} name="echoCancellation" label="Take out what the loudspeaker plays" />
          <Check page={page} name="noiseSuppression" label="Take out noise" />
          <Check page={page} name="autoGainControl" label="Even out loudness" />
          <p class="card-note">With headphones all three may be off. They count from the next conversation on.</p>
        </fieldset>
        <fieldset>
          <legend>Colours</legend>
          <div class="chips">
            {(['system', 'light', 'dark'] as const).map((theme: Theme) => (
              <label key={theme} class="radio">
                <input
                  type="radio"
                  name="theme"
                  checked={settings.value.theme === theme}
                  onChange={() => change({ theme })}
                />
                <span>{{ system: 'As the system', light: 'Light', dark: 'Dark' }[theme]}</span>
              </label>
            ))}
          </div>
        </fieldset>
      </div>
    </dialog>
  );
}

function Sampling({ settings, change }: { settings: Settings; change: (changes: Partial<Settings>) => void }) {
  const changed = Object.keys(settings.sampling).length > 0 || settings.seed !== undefined;
  return (
    <fieldset>
      <legend>How the model chooses</legend>
      <p class="card-note">From the next conversation on. What is left alone is as the model’s makers chose it.</p>
      {samplingFields.map((field) => (
        <Slider key={field.name} field={field} settings={settings} change={change} />
      ))}
      <div class="slider">
        <label for="seed">
          Seed
          <small>The same one gives the same answers to the same sound.</small>
        </label>
        <input
          id="seed"
          class="field"
          type="number"
          min={0}
          max={MAX_SEED}
          step={1}
          placeholder="a new one each time"
          value={settings.seed ?? ''}
          onChange={(event) => {
            const seed = event.currentTarget.valueAsNumber;
            change({ seed: isSeed(seed) ? seed : undefined });
          }}
        />
      </div>
      <button
        type="button"
        class="button small"
        disabled={!changed}
        onClick={() => change({ sampling: {}, seed: undefined })}
      >
        As the makers chose
      </button>
    </fieldset>
  );
}

function Slider({
  field,
  settings,
  change,
}: {
  field: SamplingField;
  settings: Settings;
  change: (changes: Partial<Settings>) => void;
}) {
  const { name, min, max, step, byDefault } = field;
  const value = settings.sampling[name] ?? byDefault;
  const { label, hint } = words[name];
  return (
    <div class="slider">
      <label for={name}>
        {label}
        <small>{hint}</small>
      </label>
      <input
        id={name}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        onInput={(event) => change(withSampling(settings, field, event.currentTarget.valueAsNumber))}
      />
      <output for={name}>{Number(value.toFixed(2))}</output>
    </div>
  );
}

type Switch = 'echoCancellation' | 'noiseSuppression' | 'autoGainControl';

function Check({ page, name, label }: { page: Page; name: Switch; label: string }) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={page.settings.value[name]}
        onChange={(event) => page.change({ [name]: event.currentTarget.checked })}
      />
      <span>{label}</span>
    </label>
  );
}
