import { defineConfig } from 'tsup';
import { opusPackageBuild } from '../../tsup.base';

export default defineConfig(opusPackageBuild());
