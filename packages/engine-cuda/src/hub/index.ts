export { hubCache } from './cache';
export { HubError, type HubErrorCode } from './errors';
export type { DownloadProgress, ProgressListener } from './progress';
export {
  type FileOverrides,
  type LmFiles,
  type MimiFiles,
  type ModelFiles,
  type ResolveOptions,
  resolveFile,
  resolveLm,
  resolveMimi,
  resolveModel,
} from './resolve';
export type { Role } from './roles';
