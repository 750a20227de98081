import { render } from 'preact';
import { withoutSecrets } from './address';
import { browserSound, missingFeature } from './state/browser-sound';
import { createPage } from './state/page';
import { followTheme } from './state/theme';
import { App } from './ui/app';

const { href } = location;
const page = createPage(href, browserSound(), { store: storage(), missing: missingFeature() });
// A key in the address bar would be in every screenshot and in the history.
const shown = withoutSecrets(href);
if (shown !== undefined) history.replaceState(null, '', shown);
followTheme(() => page.settings.value.theme);
navigator.mediaDevices?.addEventListener('devicechange', () => void page.call.refreshDevices());
addEventListener('beforeunload', (event) => {
  // The browser asks first: what is being recorded would be gone.
  if (page.call.recorder.since.value !== undefined) event.preventDefault();
});
void page.call.look();
const root = document.getElementById('page')!;
root.replaceChildren();
render(<App page={page} />, root);

/** Browsers may forbid it, by throwing. */
function storage(): Storage | undefined {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}
