import { OggOpusDecoder } from '@moshi/opus';
import { Line } from './line';
import { Manners } from './manners';
import { MemoryTransport } from './memory-transport';
import { Mouth } from './mouth';
import { Peer } from './peer';
import type {
  PeerConnection,
  PeerLink,
  Play,
  ScriptedPeer,
  ScriptedServer,
  ScriptedServerOptions,
  ServerScript,
} from './types';

/**
 * A server in memory that does what a test tells it, on the wire as a real one: `connect(server.url, { transport: server.transport })`.
 * `script` runs for each client; without one the server says that it is ready, and the rest is told to the peer. It needs
 * no sockets, so it runs in Node, browsers and their workers. `options` go before what the script says about its server.
 */
export function scriptedServer(
  script: ServerScript | Play = greet,
  options: ScriptedServerOptions = {},
): ScriptedServer {
  const { play, ...looks } = typeof script === 'function' ? { play: script } : script;
  return new Server(play, { ...looks, ...options });
}

const greet: Play = (peer) => peer.handshake();

class Server implements ScriptedServer {
  readonly url = 'ws://scripted-server.test';
  readonly transport = () => new MemoryTransport(this);
  readonly peers: Peer[] = [];
  readonly violations: string[] = [];
  readonly #play: Play;
  readonly #options: ScriptedServerOptions;
  #given = 0;
  #waiting: ((peer: ScriptedPeer) => void)[] = [];

  constructor(play: Play, options: ScriptedServerOptions) {
    this.#play = play;
    this.#options = options;
  }

  nextPeer(): Promise<ScriptedPeer> {
    const peer = this.peers[this.#given++];
    return peer ? Promise.resolve(peer) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  accept(url: string, link: PeerLink): PeerConnection {
    const line = new Line(link);
    const query = new URL(url, this.url).searchParams;
    void this.#serve(query, line).catch((error) => {
      this.violations.push(`the script failed: ${error instanceof Error ? error.message : String(error)}`);
      line.drop();
    });
    return {
      message: (data) => line.take(data),
      closed: (code) => line.closed(code),
      get held() {
        return line.held;
      },
    };
  }

  assertComplete(): void {
    const problems = [...this.violations, ...this.peers.flatMap((peer) => peer.complaints)];
    if (problems.length > 0) throw new Error(`the script is not complete: ${problems.join('; ')}`);
  }

  async #serve(query: URLSearchParams, line: Line): Promise<void> {
    const mouth = await Mouth.create(this.#options.dialect ?? 'moshi');
    const ear = await OggOpusDecoder.create();
    const peer = new Peer(query, { options: this.#options, line, manners: new Manners(this.violations), mouth, ear });
    line.deliverTo((data) => peer.hear(data));
    this.peers.push(peer);
    this.#waiting.shift()?.(peer);
    await this.#play(peer, this);
  }
}
