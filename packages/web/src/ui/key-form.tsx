import { useState } from 'preact/hooks';
import type { Call } from '../state/call';

/** Asks for the key of a server that has one. */
export function KeyForm({ call }: { call: Call }) {
  const [tried, setTried] = useState(false);
  if (!call.keyNeeded.value) return null;
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const key = new FormData(event.currentTarget as HTMLFormElement).get('key');
    if (typeof key !== 'string' || key.trim() === '') return;
    await call.useKey(key.trim());
    setTried(true);
  };
  return (
    <form class="notice info key-form" onSubmit={submit}>
      <div class="notice-words">
        <strong>This server wants a key</strong>
        <span>{tried ? 'It does not take this one: ask whoever runs it.' : 'Whoever runs it has one for you.'}</span>
      </div>
      <label class="hidden" for="key">
        Key
      </label>
      <input id="key" name="key" type="password" autocomplete="current-password" class="field" placeholder="Key" />
      <button type="submit" class="button small">
        Use it
      </button>
    </form>
  );
}
