import type { Page } from '../state/page';

/** Which microphone and loudspeaker, and how loud. */
export function SoundCard({ page }: { page: Page }) {
  const { call, settings, change } = page;
  const { inputId, outputId, volume } = settings.value;
  const devices = call.devices.value;
  const chooseInput = (id: string | undefined) => {
    change({ inputId: id });
    void call.setInput(id);
  };
  const chooseOutput = (id: string | undefined) => {
    change({ outputId: id });
    void call.setOutput(id);
  };
  return (
    <section class="card sound" aria-labelledby="sound-title">
      <h2 id="sound-title">Sound</h2>
      <Devices id="input" label="Microphone" devices={devices?.inputs ?? []} chosen={inputId} choose={chooseInput} />
      {devices === undefined || devices.canChooseOutput ? (
        <Devices
          id="output"
          label="Loudspeaker"
          devices={devices?.outputs ?? []}
          chosen={outputId}
          choose={chooseOutput}
        />
      ) : null}
      {devices && !devices.labelled ? <p class="card-note">Their names show once the microphone is allowed.</p> : null}
      <div class="labelled row">
        <label for="volume">Volume</label>
        <input
          id="volume"
          type="range"
          min={0}
          max={1}
          step={0.01}
          value={volume}
          aria-valuetext={`${Math.round(volume * 100)} %`}
          onInput={(event) => {
            const loud = event.currentTarget.valueAsNumber;
            change({ volume: loud });
            call.setVolume(loud);
          }}
        />
      </div>
    </section>
  );
}

interface DevicesProps {
  id: string;
  label: string;
  devices: readonly { readonly id: string; readonly label: string; readonly isDefault: boolean }[];
  chosen: string | undefined;
  choose: (id: string | undefined) => void;
}

function Devices({ id, label, devices, chosen, choose }: DevicesProps) {
  // The system's default is our own first entry.
  const named = devices.filter((device) => !device.isDefault && device.label !== '');
  const there = named.some((device) => device.id === chosen);
  return (
    <div class="labelled">
      <label for={id}>{label}</label>
      <select
        id={id}
        class="field"
        value={there ? chosen : ''}
        onChange={(event) => choose(event.currentTarget.value || undefined)}
      >
        <option value="">The system’s default</option>
        {named.map((device) => (
          <option key={device.id} value={device.id}>
            {device.label}
          </option>
        ))}
      </select>
    </div>
  );
}
