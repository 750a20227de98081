import type { DeviceList, SpeakerState } from '@moshi/client';
import { signal } from '@preact/signals';
import type { Trouble } from '../words';
import { noCaptions } from './captions';
import type { Figures } from './figures';
import type { ServerInfo } from './server-info';

/** Where a call is. */
export type Phase =
  | { readonly name: 'idle' }
  /** The browser asks for the microphone. */
  | { readonly name: 'asking' }
  | { readonly name: 'connecting' }
  /** In line, or the model reads its role. */
  | { readonly name: 'waiting'; readonly position?: number }
  | { readonly name: 'live' }
  | { readonly name: 'reconnecting'; readonly attempt: number }
  | { readonly name: 'ending' };

/** How the user takes part: speaking, or typing with a microphone that hears silence. */
export type Mode = 'voice' | 'text';

/** All that can be seen of a call. */
export class CallSignals {
  readonly phase = signal<Phase>({ name: 'idle' });
  readonly mode = signal<Mode>('voice');
  readonly captions = signal(noCaptions);
  readonly figures = signal<Figures | undefined>(undefined);
  readonly server = signal<ServerInfo>({});
  readonly voices = signal<readonly string[] | undefined>(undefined);
  readonly devices = signal<DeviceList | undefined>(undefined);
  readonly muted = signal(false);
  readonly speaker = signal<SpeakerState['status']>('off');
  /** Whether the server can be given texts to say. */
  readonly canSay = signal<boolean | undefined>(undefined);
  /** When (`performance.now()`) the conversation began. */
  readonly since = signal<number | undefined>(undefined);
  /** Milliseconds of speech that wait at a server slower than real time. */
  readonly behindMs = signal(0);
  readonly offline = signal(false);
  readonly newConversation = signal<string | undefined>(undefined);
  readonly keyNeeded = signal(false);
  /** The last thing that went wrong and was not put away. */
  readonly trouble = signal<Trouble | undefined>(undefined);
}
