/** Where the page goes when nothing else is said. */
export const PAGE: string;
/** Builds the page into a folder, see build.mjs. */
export function buildPage(options?: {
  readonly out?: string;
  readonly alias?: Readonly<Record<string, string>>;
  readonly worklets?: string;
}): Promise<{ readonly metafile: { readonly outputs: Readonly<Record<string, object>> } }>;
