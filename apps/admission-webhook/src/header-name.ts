/** They belong to the connection, not to what is said over it. */
const RESERVED: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'connection',
  'transfer-encoding',
  'keep-alive',
  'upgrade',
  'te',
  'trailer',
  'expect',
]);
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Why a header cannot be set by a trigger; null: it can. */
export function headerNameProblem(name: string): string | null {
  const lower = name.toLowerCase();
  if (!TOKEN.test(name)) return "is no name of a header: letters, digits and signs such as '-', without blanks and colons";
  if (RESERVED.has(lower)) return 'belongs to the connection and cannot be set: leave it out';
  if (lower.startsWith('ce-'))
    return 'says what the event is, as CloudEvents does, and cannot be set: take a name that does not begin with ce-';
  return null;
}
