import { useEffect, useRef } from 'preact/hooks';
import type { Page } from '../state/page';
import { Icon } from './icons';

/** A text for the model to say; outside of a call it begins one without a microphone. */
export function TextBox({ page }: { page: Page }) {
  const { call, address, mayTalk } = page;
  const input = useRef<HTMLInputElement>(null);
  const { name } = call.phase.value;
  const { dialect } = call.server.value;
  const refused = (name === 'live' && call.canSay.value === false) || dialect === 'loopback';
  const open = !refused && (name === 'live' || (name === 'idle' && mayTalk.value));
  useEffect(() => {
    if (address.textMode && open) input.current?.focus();
  }, [address.textMode, open]);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const text = input.current!.value.trim();
    if (text === '' || !open) return;
    input.current!.value = '';
    if (name === 'idle') page.talk('text', text);
    else call.say(text);
  };
  return (
    <form class="text-box" onSubmit={submit}>
      <label class="hidden" for="say">
        Text for Moshi to say
      </label>
      <input
        ref={input}
        id="say"
        class="field"
        autocomplete="off"
        maxLength={10_000}
        placeholder={refused ? 'This server cannot be given texts to say' : 'Let Moshi say …'}
        disabled={!open}
      />
      <button type="submit" class="button primary" aria-label="Say it" disabled={!open}>
        <Icon name="send" />
        <span>Say it</span>
      </button>
    </form>
  );
}
