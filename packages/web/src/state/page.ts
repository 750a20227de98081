import { computed, effect, type ReadonlySignal, type Signal, signal } from '@preact/signals';
import { type PageAddress, readAddress } from '../address';
import { Call } from './call';
import type { Mode } from './call-signals';
import { type Notice, type NoticeAction, noticesOf } from './notices';
import { defaultSettings, loadSettings, type Settings, type Store, saveSettings } from './settings';
import type { SoundTools } from './sound-tools';

/** What the whole page is made of. */
export interface Page {
  readonly address: PageAddress;
  readonly call: Call;
  readonly settings: Signal<Settings>;
  readonly notices: ReadonlySignal<readonly Notice[]>;
  /** Whether a conversation may be begun: nothing missing, and a foreign server agreed to. */
  readonly mayTalk: ReadonlySignal<boolean>;
  change(settings: Partial<Settings>): void;
  talk(mode?: Mode, firstText?: string): void;
  act(action: NoticeAction): void;
}

/** Puts a page together for the address it was opened at. */
export function createPage(
  href: string,
  sound: SoundTools,
  { store, missing }: { store?: Store; missing?: string } = {},
): Page {
  const address = readAddress(href);
  const foreign = address.foreignHost !== undefined;
  // What was chosen for this server is no business of another one.
  const settings = signal(foreign ? { ...defaultSettings, theme: loadSettings(store).theme } : loadSettings(store));
  const call = new Call(address, () => settings.value, sound);
  const agreed = signal(false);
  if (!foreign) effect(() => saveSettings(store, settings.value));

  const notices = computed(() =>
    noticesOf({
      phase: call.phase.value,
      mode: call.mode.value,
      speaker: call.speaker.value,
      trouble: call.trouble.value,
      keepsUp: call.server.value.keepsUp,
      behindMs: call.behindMs.value,
      roundTripMs: call.figures.value?.metrics.roundTripMs ?? null,
      offline: call.offline.value,
      newConversation: call.newConversation.value,
      foreignHost: address.foreignHost,
      agreed: agreed.value,
      addressProblem: address.problem,
      unsupported: missing,
    }),
  );
  const mayTalk = computed(() => missing === undefined && (!foreign || agreed.value) && !call.keyNeeded.value);
  const talk = (mode: Mode = address.textMode ? 'text' : 'voice', firstText?: string) => {
    if (mayTalk.value) void call.start(mode, firstText);
  };
  const acts: Record<NoticeAction, () => void> = {
    'type-instead': () => talk('text'),
    'play-sound': () => void call.playSound(),
    'dismiss-trouble': () => {
      call.trouble.value = undefined;
    },
    'dismiss-new': () => {
      call.newConversation.value = undefined;
    },
    agree: () => {
      agreed.value = true;
    },
  };
  return {
    address,
    call,
    settings,
    notices,
    mayTalk,
    change: (changes) => {
      settings.value = { ...settings.value, ...changes };
    },
    talk,
    act: (action) => acts[action](),
  };
}
