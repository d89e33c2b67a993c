/** The environment of the process, the only place that reads it: everything else is handed what it needs. */
export type Env = Readonly<Record<string, string | undefined>>;

/** A copy, so that what was read at the start stays what was read. */
export function readEnv(): Env {
  return { ...process.env };
}
