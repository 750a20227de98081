import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Page } from '../state/page';
import { Icon } from './icons';

/** A text for the model to say; outside of a call it begins one without a microphone. */
export function TextBox({ page }: { page: Page }) {
  const { call, address, mayTalk } = page;
  const input = useRef<HTMLInputElement>(null);
  /** Stays in sight until a call has begun with it. */
  const first = useRef(false);
  const { name } = call.phase.value;
  const { dialect } = call.server.value;
  const refused = (name === 'live' && call.canSay.value === false) || dialect === 'loopback';
  const ready = name === 'live' || (name === 'idle' && mayTalk.value);
  const disabled = refused || (name === 'idle' && !ready);
  const typing = call.since.value !== undefined && call.mode.value === 'text';
  const wanted = address.textMode ? !disabled : typing;
  useLayoutEffect(() => {
    if (wanted) input.current?.focus();
  }, [wanted]);
  useLayoutEffect(() => {
    if (name === 'live' && first.current) input.current!.value = '';
    if (name === 'live' || name === 'idle') first.current = false;
  }, [name]);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const text = input.current!.value.trim();
    if (text === '' || refused || !ready) return;
    first.current = name === 'idle';
    if (name === 'idle') {
      page.talk('text', text);
    } else {
      input.current!.value = '';
      call.say(text);
    }
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
        dir="auto"
        placeholder={refused ? 'This server says no texts' : 'Let Moshi say …'}
        disabled={disabled}
        // What is disabled loses the keyboard's focus, and a call on its way is soon there.
        readOnly={!ready}
      />
      <button type="submit" class="button primary" aria-label="Say it" disabled={disabled} aria-disabled={!ready}>
        <Icon name="send" />
        <span>Say it</span>
      </button>
    </form>
  );
}
