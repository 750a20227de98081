import { defineConfig } from 'tsup';
import { packageBuild } from '../../tsup.base';

// libopus-wasm has no CommonJS entry and @moshi/opus is private: both travel inside the bundle.
export default defineConfig(packageBuild({ noExternal: ['@moshi/opus', 'libopus-wasm'] }));
