import { expect, it } from 'vitest';
import { RemoteBrowser } from '../support/remote-browser';

/** Answers commands as browsers do, and ends when it is told to. */
function fakeBrowser(): void {
  const { WebSocketServer } = require('ws');
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => {
    console.error(`listening on ws://127.0.0.1:${server.address().port}`);
  });
  server.on('connection', (socket: WebSocket & { on(name: string, listener: (data: Buffer) => void): void }) => {
    socket.on('message', (data) => {
      const { id, method } = JSON.parse(String(data));
      if (method === 'end') process.exit(1);
      const answer = method === 'wrong' ? { error: 'unknown', message: 'no such command' } : { result: { method } };
      socket.send(JSON.stringify({ id, ...answer }));
    });
  });
}

it('a browser that is spoken to answers, and one that has ended is waited for by nobody', async () => {
  const browser = await RemoteBrowser.start({
    program: process.execPath,
    args: () => ['-e', `(${fakeBrowser})()`],
    ready: /listening on (ws:\S+)/,
  });
  expect(await browser.send('hello', {})).toEqual({ method: 'hello' });
  await expect(browser.send('wrong', {})).rejects.toThrow('no such command');
  await expect(browser.send('end', {})).rejects.toThrow('the browser ended before it answered');
  await expect(browser.send('hello', {})).rejects.toThrow('not open');
  await browser.close();
});
