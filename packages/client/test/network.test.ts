import { afterEach, describe, expect, it, vi } from 'vitest';
import { browserNetwork } from '../src/connection/network';

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('the browser’s network', () => {
  it('is told as it is, with changes and looks, until nobody asks any more', () => {
    const [window, document] = [new EventTarget(), Object.assign(new EventTarget(), { visibilityState: 'hidden' })];
    vi.stubGlobal('addEventListener', window.addEventListener.bind(window));
    vi.stubGlobal('removeEventListener', window.removeEventListener.bind(window));
    vi.stubGlobal('document', document);
    vi.stubGlobal('navigator', { onLine: false });
    const heard: string[] = [];
    const network = browserNetwork()!;
    expect(network.online).toBe(false);
    const stop = network.watch({
      online: () => heard.push('online'),
      offline: () => heard.push('offline'),
      visible: () => heard.push('visible'),
    });
    const happen = () => {
      window.dispatchEvent(new Event('online'));
      window.dispatchEvent(new Event('offline'));
      document.dispatchEvent(new Event('visibilitychange'));
    };
    happen();
    expect(heard).toEqual(['online', 'offline']);
    document.visibilityState = 'visible';
    happen();
    expect(heard.slice(2)).toEqual(['online', 'offline', 'visible']);
    stop();
    happen();
    expect(heard).toHaveLength(5);
  });

  it('is unknown elsewhere', () => {
    expect(browserNetwork()).toBeUndefined();
  });
});
