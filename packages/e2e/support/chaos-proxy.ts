import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { ChaosPipe, type Faults } from './chaos-pipe';

/** Which way bytes go: up to the server, down to the client. */
export type Direction = 'up' | 'down';

/** A network between a client and a server, with faults to choose from; they hold for all connections until changed. */
export interface Chaos {
  /** `http://127.0.0.1:port`, in place of the server's. */
  readonly url: string;
  readonly port: number;
  /** Connections taken so far. */
  readonly connections: number;
  /** Everything comes so much later, and up to `jitterMs` more, in order. */
  latency(ms: number, jitterMs?: number): void;
  /**
   * A share of the pieces (0 to 1) takes a way that is so much longer, and those sent after them overtake them. TCP hands out
   * nothing before its turn: the program at the end sees nothing for a while, and then all of it at once. 0 ms ends it.
   */
  reorder(ms: number, share?: number): void;
  /** Bytes a second in each direction; 0 is no limit. */
  rate(bytesPerSecond: number): void;
  /** Nothing comes for so long; then all of it at once. */
  stall(ms: number, side?: Direction | 'both'): void;
  /** Ends every connection: by a reset, or as if each side had ended it. Bytes under way are lost. */
  cut(how?: 'rst' | 'fin'): void;
  /** Nothing passes, ends of connections neither, and nobody is told. New connections open and stay silent. */
  blackHole(on: boolean): void;
  /** Keeps the bytes of the connections there are, and lets them out when a connection made later has got its first answer. */
  holdOld(on: boolean): void;
  /** At most so many bytes are delivered at a time; 0 is no limit. */
  split(bytes: number): void;
  /** Resets connections as they come. */
  refuse(on: boolean): void;
  close(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  readonly up: ChaosPipe;
  readonly down: ChaosPipe;
}

/** Stands between clients and a server on this machine as a bad network does. Bytes of one connection are never reordered: TCP does not. */
export async function chaosProxy(target: { port: number; host?: string }): Promise<Chaos> {
  const faults: Faults = {
    latencyMs: 0,
    jitterMs: 0,
    detourMs: 0,
    detourShare: 0,
    bytesPerSecond: 0,
    splitBytes: 0,
    hole: false,
  };
  const links = new Set<Link>();
  let held: Link[] = [];
  let taken = 0;
  let refusing = false;

  const release = () => {
    const released = held;
    held = [];
    for (const { up, down } of released) {
      up.hold(false);
      down.hold(false);
    }
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    taken++;
    const onward = connect({ port: target.port, host: target.host ?? '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const link: Link = {
      client,
      server: onward,
      up: new ChaosPipe(client, onward, faults),
      down: new ChaosPipe(onward, client, faults, () => {
        if (!held.includes(link)) release();
      }),
    };
    links.add(link);
    for (const [socket, other] of [[client, onward] as const, [onward, client] as const]) {
      socket.on('error', () => undefined);
      socket.on('close', (failed) => {
        // A reset is passed on, unless the network is not there to do so.
        if (failed && !faults.hole && !held.includes(link)) other.destroy();
        if (client.closed && onward.closed) links.delete(link);
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const pipes = (side: Direction | 'both' = 'both') =>
    [...links].flatMap(({ up, down }) => (side === 'both' ? [up, down] : side === 'up' ? [up] : [down]));
  const changed = () => {
    for (const pipe of pipes()) pipe.pump();
  };

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    get connections() {
      return taken;
    },
    latency(ms, jitterMs = 0) {
      Object.assign(faults, { latencyMs: ms, jitterMs });
    },
    reorder(ms, share = 0.2) {
      Object.assign(faults, { detourMs: ms, detourShare: share });
    },
    rate(bytesPerSecond) {
      faults.bytesPerSecond = bytesPerSecond;
      changed();
    },
    stall(ms, side) {
      for (const pipe of pipes(side)) pipe.stall(ms);
    },
    cut(how = 'rst') {
      for (const { client, server: onward, up, down } of links) {
        up.drop();
        down.drop();
        for (const socket of [client, onward]) how === 'rst' ? socket.resetAndDestroy() : socket.end();
      }
    },
    blackHole(on) {
      faults.hole = on;
      changed();
    },
    holdOld(on) {
      if (!on) return release();
      held = [...links];
      for (const { up, down } of held) {
        up.hold(true);
        down.hold(true);
      }
    },
    split(bytes) {
      faults.splitBytes = bytes;
    },
    refuse(on) {
      refusing = on;
    },
    async close() {
      for (const { client, server: onward, up, down } of links) {
        up.drop();
        down.drop();
        client.destroy();
        onward.destroy();
      }
      server.close();
      await once(server, 'close');
    },
  };
}
