const LEAST_CHARACTERS = 8;
const MOST_CHARACTERS = 64;

const KINDS: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['a small letter', /[a-z]/],
  ['a capital letter', /[A-Z]/],
  ['a digit', /[0-9]/],
  ['a special character', /[^A-Za-z0-9]/],
];

/**
 * What a password lacks, in a sentence that does not show it; null: it is good. The rule is the reference's: 8 to 64 characters in one line, with
 * `[a-z]`, `[A-Z]`, `[0-9]` and something that is none of them.
 */
export function passwordProblem(password: string): string | null {
  const length = [...password].length;
  const missing = KINDS.filter(([, pattern]) => !pattern.test(password)).map(([what]) => what);
  const problems = [
    ...(length < LEAST_CHARACTERS ? ['is too short'] : []),
    ...(length > MOST_CHARACTERS ? ['is too long'] : []),
    ...(password.includes('\n') ? ['has a line break'] : []),
    ...(missing.length > 0 ? [`lacks ${inWords(missing)}`] : []),
  ];
  if (problems.length === 0) return null;
  return `must have ${LEAST_CHARACTERS} to ${MOST_CHARACTERS} characters, among them ${inWords(KINDS.map(([what]) => what))}; it ${inWords(problems)}`;
}

function inWords(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1) ?? ''}`;
}
