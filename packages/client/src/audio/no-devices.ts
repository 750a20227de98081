import type { openAudio as openWebAudio } from '../web-audio/platform';

/** Outside of browsers there is nothing to reach devices with; `#audio` in package.json chooses. */
export const openAudio: typeof openWebAudio = () => undefined;
