import type { Page } from '../state/page';

/** Banners, in a region that screen readers read out when it changes. */
export function Notices({ page }: { page: Page }) {
  return (
    <div class="notices" role="status" aria-label="Notices">
      {page.notices.value.map(({ id, tone, title, text, action, label }) => (
        <div key={id} class={`notice ${tone}`} data-notice={id}>
          <div class="notice-words">
            <strong>{title}</strong>
            <span>{text}</span>
          </div>
          {action && (
            <button type="button" class="button small" onClick={() => page.act(action)}>
              {label}
            </button>
          )}
        </div>
      ))}
    </div>
  );
}
