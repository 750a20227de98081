import type { EngineInfo } from '../engine';
import { inlinePagePolicy } from './csp';

const style = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: 1rem; background: #8881; border-radius: 4px; }
`;
const script = "document.getElementById('url').textContent = location.origin.replace(/^http/, 'ws');";

/** What {@link plainPage} may do. */
export const plainPagePolicy = inlinePagePolicy(script, style);

/** The page at `/` when there is no other: what this server is and how to speak with it. */
export function plainPage(info: EngineInfo): string {
  const model = escapeHtml(info.model);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>moshi-js: ${model}</title>
<style>${style}</style>
</head>
<body>
<h1>A speech server</h1>
<p>This is <a href="https://www.npmjs.com/package/@moshi/server">@moshi/server</a> with the model <strong>${model}</strong>
and ${info.slots === 1 ? 'one place' : `${info.slots} places`} for conversations. ${whatItDoes(info)}</p>
<p>Speak with it from a browser or from Node:</p>
<pre>import { connect } from '@moshi/client';
const session = await connect('<span id="url">ws://localhost:8998</span>');
session.on('text', ({ text }) =&gt; console.log(text));</pre>
<p>The web, Python and Rust clients of Moshi and PersonaPlex work too; the WebSocket is at <code>/api/chat</code>.
<a href="/readyz">/readyz</a> says how many places are taken.</p>
<script>${script}</script>
</body>
</html>
`;
}

function whatItDoes(info: EngineInfo): string {
  if (info.dialect === 'loopback')
    return 'It is no model: it says back what you say, to check a microphone and a network.';
  if (!info.trained)
    return 'Its weights are <strong>untrained</strong> (random), so it babbles; load a trained model to talk.';
  return 'It listens and speaks at the same time.';
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
