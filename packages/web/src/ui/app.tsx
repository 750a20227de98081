import type { Page } from '../state/page';
import { Captions } from './captions';
import { Controls } from './controls';
import { FiguresCard } from './figures';
import { Header } from './header';
import { KeyForm } from './key-form';
import { Notices } from './notices';
import { PersonaCard } from './persona';
import { SoundCard } from './sound-card';
import { Stage } from './stage';
import { TextBox } from './text-box';

/** The page: the conversation on one side, who is talked with and how it goes on the other. */
export function App({ page }: { page: Page }) {
  const { mode, phase } = page.call;
  return (
    <div
      class={`page ${page.address.textMode ? 'text-mode' : ''}`}
      data-phase={phase.value.name}
      data-mode={mode.value}
    >
      <Header page={page} />
      <main class="talk" aria-label="Conversation">
        <Notices page={page} />
        <KeyForm call={page.call} />
        <Stage page={page} />
        <Captions call={page.call} textMode={page.address.textMode} />
        <div class="dock">
          <Controls call={page.call} />
          <TextBox page={page} />
        </div>
      </main>
      <aside class="side" aria-label="Persona, sound and figures">
        <PersonaCard page={page} />
        <SoundCard page={page} />
        <FiguresCard call={page.call} />
      </aside>
    </div>
  );
}
