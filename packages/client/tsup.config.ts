import { defineConfig } from 'tsup';
import { opusPackageBuild } from '../../tsup.base';

const entry = ['src/index.ts', 'src/testing/index.ts'];

export default defineConfig(opusPackageBuild().map((build) => ({ ...build, entry })));
