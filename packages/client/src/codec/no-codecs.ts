import { MoshiError } from '../errors';
import type { browserCodecs as realCodecs } from './webcodecs';

/** Cloudflare's workers compile no WebAssembly as they run; `#codecs` in package.json chooses. */
export const browserCodecs: typeof realCodecs = () => ({ createEncoder: none, createDecoder: none });

async function none(): Promise<never> {
  throw new MoshiError(
    'unsupported',
    'a worker compiles no WebAssembly: give codecs: false, and send and take Opus packets',
  );
}
