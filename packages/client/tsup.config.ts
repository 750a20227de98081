import { defineConfig } from 'tsup';
import { packageBuild } from '../../tsup.base';

// libopus-wasm has no CommonJS entry and @moshi/opus is private: both travel inside the bundle. In CommonJS it needs the
// shim of import.meta.url; its Node imports keep their `node:` so that bundlers for browsers can leave them out.
export default defineConfig(
  packageBuild({ noExternal: ['@moshi/opus', 'libopus-wasm'], shims: true, removeNodeProtocol: false }),
);
