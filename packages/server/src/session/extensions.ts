import type { ChatParameters } from '@moshi/protocol';
import type { Engine, EngineSessionOptions } from '../engine';
import { ServerError } from '../errors';
import { version } from '../version';

/** What the server adds to the protocol for clients that ask with `?extensions=1`. */
const extensions: readonly string[] = ['waiting', 'control', 'restarted'];
const ownEvents = /^(waiting|restarted|behind|interrupt|resumable|resumed|not-resumed|say(-.*)?)$/;

/** The metadata that clients with extensions get before everything else; `resumes`: lost conversations are kept. */
export function greeting({ info, voices }: Engine, resumes: boolean): unknown {
  const abilities = [
    ...(resumes ? ['resume'] : []),
    ...(info.features?.includes('say') ? ['say'] : []),
    ...(voices ? ['voices'] : []),
  ];
  // An engine may know more of its machine than is the clients' business.
  const { model, dialect, sampleRate, frameSamples, slots, trained, features, keepsUp, details } = info;
  const told = { model, dialect, sampleRate, frameSamples, slots, trained, features, keepsUp, details };
  return { server: 'moshi-js', version, extensions: [...extensions, ...abilities], ...told };
}

/** Throws `BAD_OPTION` when a host's own event has a name of the protocol. */
export function checkEventName(name: string): void {
  if (!ownEvents.test(name)) return;
  throw new ServerError('BAD_OPTION', `event "${name}" is the protocol's own: choose another name`);
}

/** The query parameters that are the engine's business. */
export function engineOptions(parameters: ChatParameters): EngineSessionOptions {
  const { email, workerAuthId, extensions: _, maxSteps, ...options } = parameters;
  return options;
}
