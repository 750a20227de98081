import type { NoticeAction } from '../state/notices';
import type { Page } from '../state/page';

/** Banners, in a region of which screen readers read out what comes, and no figure that moves. */
export function Notices({ page }: { page: Page }) {
  return (
    <div class="notices" role="status" aria-atomic="false" aria-label="Notices">
      {page.notices.value.map(({ id, tone, title, text, moving, action, label }) => (
        <div key={id} class={`notice ${tone}`} data-notice={id}>
          <div class="notice-words">
            <strong>{title}</strong>
            <span aria-live={moving ? 'off' : undefined}>{text}</span>
          </div>
          {action && (
            <button type="button" class="button small" onClick={() => act(page, action)}>
              {label}
            </button>
          )}
        </div>
      ))}
    </div>
  );
}

function act(page: Page, action: NoticeAction): void {
  page.act(action);
  // The button goes, and would take the keyboard back to the top of the page.
  setTimeout(() => {
    if (document.activeElement === document.body) document.querySelector<HTMLElement>('.talk-button')?.focus();
  });
}
