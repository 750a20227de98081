import type { Page } from '../state/page';
import { MAX_PROMPT } from '../state/settings';
import { roles, voiceGroup } from '../words';

/** Who is talked with: a voice and a role, told to the model before the conversation. */
export function PersonaCard({ page }: { page: Page }) {
  const { call, settings, change } = page;
  const { voice, prompt } = settings.value;
  const { dialect } = call.server.value;
  const voices = call.voices.value ?? [];
  const talking = call.phase.value.name !== 'idle';
  if (dialect === 'moshi' || dialect === 'loopback') {
    return (
      <section class="card persona" aria-labelledby="persona-title">
        <h2 id="persona-title">Persona</h2>
        <p class="card-note">{plainNote(dialect)}</p>
      </section>
    );
  }
  return (
    <section class="card persona" aria-labelledby="persona-title">
      <h2 id="persona-title">Persona</h2>
      <div class="labelled">
        <label for="voice">Voice</label>
        <select
          id="voice"
          class="field"
          value={voice}
          onChange={(event) => change({ voice: event.currentTarget.value })}
        >
          <option value="">The model’s own choice</option>
          {groups(voices, voice).map(([group, names]) => (
            <optgroup key={group} label={group}>
              {names.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </optgroup>
          ))}
        </select>
      </div>
      <fieldset class="labelled">
        <legend>Role</legend>
        <div class="chips">
          {roles.map((role) => (
            <button
              key={role.name}
              type="button"
              class="chip"
              aria-pressed={prompt === role.prompt}
              onClick={() => change({ prompt: prompt === role.prompt ? '' : role.prompt })}
            >
              {role.name}
            </button>
          ))}
        </div>
        <label class="hidden" for="prompt">
          Role in your own words
        </label>
        <textarea
          id="prompt"
          class="field"
          rows={5}
          dir="auto"
          maxLength={MAX_PROMPT}
          placeholder="Or in your own words: You are …"
          value={prompt}
          onInput={(event) => change({ prompt: event.currentTarget.value })}
        />
      </fieldset>
      {talking ? <p class="card-note">Changes count from the next conversation on.</p> : null}
    </section>
  );
}

function plainNote(dialect: string): string {
  if (dialect === 'loopback') return 'An echo has no persona.';
  return 'This model has one voice and plays no roles. PersonaPlex has many of both.';
}

/** A voice that was chosen once stays in sight, also where the server has it no longer. */
function groups(voices: readonly string[], chosen: string): [group: string, names: string[]][] {
  const all = chosen === '' || voices.includes(chosen) ? voices : [...voices, chosen];
  const byGroup = new Map<string, string[]>();
  for (const name of all) byGroup.set(voiceGroup(name), [...(byGroup.get(voiceGroup(name)) ?? []), name]);
  return [...byGroup];
}
