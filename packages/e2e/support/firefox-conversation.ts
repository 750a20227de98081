import { fileURLToPath } from 'node:url';
import type { ConnectOptions, MicrophoneOptions } from '@moshi/client';
import type { Server } from '@moshi/server';
import { type Chaos, chaosProxy } from './chaos-proxy';
import { type ConversationOptions, LOOP_ENTRY, portOf, serve, speech } from './conversation';
import { Firefox, type FirefoxTab } from './firefox';
import type { LoopEvent } from './loop.entry';
import { type HostedPage, hostPage } from './page-host';
import { called } from './remote-browser';
import { type Ears, SoundSystem } from './sound-system';
import { at24k, CollectedTap, type TappedSound } from './tap';

/** A Firefox with the sound system it plays to, for many conversations. */
export interface Listener {
  readonly firefox: Firefox;
  readonly sound: SoundSystem;
  close(): Promise<void>;
}

export async function openFirefox(): Promise<Listener> {
  const sound = await SoundSystem.start();
  const firefox = await Firefox.launch({ sound });
  return {
    firefox,
    sound,
    close: async () => {
      await firefox.close();
      await sound.close();
    },
  };
}

/** What a {@link FirefoxConversation} is made of, beside Firefox. */
export interface FirefoxConversationOptions extends Pick<ConversationOptions, 'engine' | 'server' | 'page'> {
  /** Run in the page before its scripts. */
  readonly before?: readonly (() => void)[];
}

const EAR = fileURLToPath(new URL('./ear.worklet.ts', import.meta.url));

/** As `Conversation`, in Firefox: its microphone hears what is said aloud. */
export class FirefoxConversation {
  private constructor(
    readonly tab: FirefoxTab,
    readonly chaos: Chaos,
    readonly ears: Ears,
    readonly aloud: SoundSystem,
    readonly tap: CollectedTap,
    readonly host: HostedPage,
    readonly server: Server,
  ) {}

  static async open(
    { firefox, sound }: Listener,
    options: FirefoxConversationOptions = {},
  ): Promise<FirefoxConversation> {
    const server = await serve(options);
    const chaos = await chaosProxy({ port: portOf(server) });
    const files = { ...options.page?.files, '/ear.js': EAR };
    const host = await hostPage({ entry: LOOP_ENTRY, ...options.page, files, proxy: chaos.url });
    const ears = await sound.listen();
    const tap = new CollectedTap();
    const { before = [] } = options;
    const tab = await firefox.open(host.url, { before, heard: (block) => tap.add(block) });
    await tab.until('Boolean(globalThis.loop)');
    return new FirefoxConversation(tab, chaos, ears, sound, tap, host, server);
  }

  /** Clicks, connects, and starts speaker and microphone. */
  async talk({ connect = {}, microphone = {} }: { connect?: ConnectOptions; microphone?: MicrophoneOptions } = {}) {
    await this.tab.click();
    await this.tab.evaluate(`loop.connect(${JSON.stringify(connect)})`);
    await this.tab.evaluate(`loop.talk(${JSON.stringify(microphone)})`);
  }

  /** Somebody speaks into the microphone; resolves when the answer is heard, too, however slow the machine. */
  async say(pcm?: Float32Array): Promise<void> {
    await this.aloud.say(pcm ?? (await speech()));
    const sentSeconds = await this.tab.evaluate<number>('loop.session.metrics.audioSentSeconds');
    // The last of it is on its way through the microphone.
    await this.tab.until(`loop.session.speaker.clock.now > ${sentSeconds + 1}`);
  }

  /** Resolves when this event has come. */
  async event(name: string): Promise<LoopEvent> {
    await this.tab.until(`loop.names().includes('${name}')`);
    return (await this.events(name))[0]!;
  }

  /** What its microphone gave and its speaker played so far, 24 kHz mono, on one clock. */
  sound(): Pick<TappedSound, 'captured' | 'heard'> {
    return at24k(this.tap.read());
  }

  events(name: string): Promise<LoopEvent[]> {
    return this.tab.evaluate(called((wanted) => loop.events.filter((event) => event.name === wanted), name));
  }

  async close(): Promise<void> {
    this.ears.stop();
    await this.tab.close();
    await this.host.close();
    await this.chaos.close();
    await this.server.close();
  }
}
