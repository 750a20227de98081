/** What the page knows about its server and model. */
export interface ServerInfo {
  readonly model?: string;
  readonly dialect?: string;
  /** False when the weights are random. */
  readonly trained?: boolean;
  /** False when the machine was measured to be slower than real time. */
  readonly keepsUp?: boolean;
  readonly version?: string;
  readonly slots?: number;
}

/** Reads what a server tells about itself, in its build info or its metadata; whatever is not understood is left out. */
export function readServerInfo(told: unknown): ServerInfo {
  if (typeof told !== 'object' || told === null) return {};
  const { model, dialect, trained, keepsUp, version, slots } = told as Record<string, unknown>;
  return {
    ...(typeof model === 'string' && { model: model.slice(0, 200) }),
    ...(typeof dialect === 'string' && { dialect: dialect.slice(0, 40) }),
    ...(typeof trained === 'boolean' && { trained }),
    ...(typeof keepsUp === 'boolean' && { keepsUp }),
    ...(typeof version === 'string' && { version: version.slice(0, 40) }),
    ...(typeof slots === 'number' && { slots }),
  };
}

/** Asks the server beside this page what it is; nothing when it does not tell, as stock servers do not. */
export async function fetchServerInfo(server: string): Promise<ServerInfo> {
  const address = new URL(server.replace(/^ws/, 'http').replace(/[^/]*$/, 'build_info'));
  try {
    const response = await fetch(address);
    return response.ok ? readServerInfo(await response.json()) : {};
  } catch {
    return {};
  }
}
