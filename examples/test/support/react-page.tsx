/** @jsxImportSource react */
// The example's components in a page of the test's, on devices of the test's.
import { type FakeAudio, fakeAudio, tone } from '@moshi/client/testing';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App, Talk } from '../../react/app.tsx';

declare global {
  interface Window {
    audio: FakeAudio;
    /** Shows the app, or one conversation at once; returns how to take it away. */
    show(what: 'app' | 'talk'): () => void;
  }
}

window.audio = fakeAudio({ microphone: tone(440, 60) });
window.show = (what) => {
  const root = createRoot(document.body.appendChild(document.createElement('div')));
  const Shown = what === 'app' ? App : Talk;
  root.render(
    <StrictMode>
      <Shown url={location.origin} options={{ audio: { platform: window.audio } }} />
    </StrictMode>,
  );
  return () => root.unmount();
};
setInterval(() => void window.audio.advance(20), 20);
