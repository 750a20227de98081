import { useRef } from 'preact/hooks';
import type { Page } from '../state/page';
import { shownTheme } from '../state/theme';
import { Icon } from './icons';
import { SettingsDialog } from './settings-dialog';

export function Header({ page }: { page: Page }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { model, trained, dialect } = page.call.server.value;
  const shown = shownTheme(page.settings.value.theme);
  const other = shown === 'dark' ? 'light' : 'dark';
  return (
    <header class="header">
      <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
        <path class="mark-model" d="M3 16a13 13 0 0 1 26 0z" />
        <path class="mark-you" d="M3 16a13 13 0 0 0 26 0z" />
        <circle class="mark-eye" cx="16" cy="16" r="5.5" />
      </svg>
      <div class="title">
        <h1>{page.address.textMode ? 'Make Moshi speak' : 'Talk with Moshi'}</h1>
        {model !== undefined && (
          <p class="model-name" title={model}>
            {dialect === 'loopback' ? 'echo, no model' : model}
            {trained === false && dialect !== 'loopback' ? ', untrained' : ''}
          </p>
        )}
      </div>
      <div class="header-buttons">
        <button
          type="button"
          class="icon-button"
          aria-label={`Use ${other} colours`}
          title={`Use ${other} colours`}
          onClick={() => page.change({ theme: other })}
        >
          <Icon name={other === 'dark' ? 'moon' : 'sun'} />
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="Settings"
          title="Settings"
          aria-haspopup="dialog"
          onClick={() => dialog.current?.showModal()}
        >
          <Icon name="settings" />
        </button>
      </div>
      <SettingsDialog page={page} dialog={dialog} />
    </header>
  );
}
