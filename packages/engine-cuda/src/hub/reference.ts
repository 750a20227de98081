import { HubError } from './errors';

/** A repository on the hub, `owner/name`, at a branch, tag or commit. */
export interface HubRepository {
  readonly owner: string;
  readonly name: string;
  readonly revision: string;
}

const PART = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?$/;

/** Reads `owner/name`, `owner/name@revision` or `hf://owner/name`; undefined when the text cannot be one. */
export function parseRepository(text: string, revision = 'main'): HubRepository | undefined {
  const bare = text.startsWith('hf://') ? text.slice(5) : text;
  const at = bare.indexOf('@');
  const path = at < 0 ? bare : bare.slice(0, at);
  const wanted = at < 0 ? revision : bare.slice(at + 1);
  const [owner = '', name = '', ...rest] = path.split('/');
  const legal = [owner, name].every((part) => PART.test(part) && !part.includes('..') && !part.includes('--'));
  if (rest.length > 0 || !legal || !isSafePath(wanted)) return undefined;
  return { owner, name, revision: wanted };
}

/** Whether a relative path stays below the folder it is joined to, on every platform. */
export function isSafePath(path: string): boolean {
  if (path.length === 0 || path.length > 512) return false;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
  if (/[\\:*?"<>|\u0000-\u001f\u007f]/.test(path)) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && part.length <= 255);
}

/** Where a file name of a model's config points: into the model's own folder, or into another hub repository. */
export type FileReference =
  | { readonly kind: 'own'; readonly path: string }
  | { readonly kind: 'hub'; readonly repository: HubRepository; readonly path: string };

/**
 * Reads a file name from a config, which is untrusted: a path inside the model's folder or `hf://owner/name/path`.
 * Throws {@link HubError} (`bad-config`) for anything that would leave the folder. `key` names the entry in errors.
 */
export function parseFileReference(value: unknown, key: string, revision = 'main'): FileReference {
  const shown = typeof value === 'string' ? `"${value.slice(0, 100)}"` : typeof value;
  const refuse = (why: string) =>
    new HubError('bad-config', `config.json: ${key} is ${shown.replace(/[^\x20-\x7e]/g, '?')}, ${why}`);
  if (typeof value !== 'string') throw refuse('expected a file name');
  if (value.startsWith('hf://')) {
    const [owner, name, ...rest] = value.slice(5).split('/');
    const repository = parseRepository(`${owner}/${name}`, revision);
    const path = rest.join('/');
    if (!repository || !isSafePath(path)) throw refuse('expected hf://owner/name/file');
    return { kind: 'hub', repository, path };
  }
  if (!isSafePath(value)) throw refuse('which does not stay inside the model folder: refused');
  return { kind: 'own', path: value };
}
