// Constraints of versions as Masterminds/semver reads and checks them.

import { RE2JS } from 're2js';
import { FunctionError } from '../template-function.js';
import { SemanticVersion } from './semantic-version.js';

// Whoever writes a template writes what these expressions read: re2js keeps them linear.
const OPERATOR = '=||!=|>|<|>=|=>|<=|=<|~|~>|\\^';
const NUMBERS = '[0-9xX*|]+';
const IDENTIFIERS = '[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*';
const VERSION = `v?(${NUMBERS})(\\.${NUMBERS})?(\\.${NUMBERS})?(-${IDENTIFIERS})?(?:\\+${IDENTIFIERS})?`;
const ANY_VERSION = `v?${NUMBERS}(?:\\.${NUMBERS})?(?:\\.${NUMBERS})?(?:-${IDENTIFIERS})?(?:\\+${IDENTIFIERS})?`;
const RANGE = RE2JS.compile(`\\s*(${ANY_VERSION})\\s+-\\s+(${ANY_VERSION})\\s*`);
const SINGLE = RE2JS.compile(`^\\s*(${OPERATOR})\\s*(${VERSION})\\s*$`);
const EVERY_SINGLE = RE2JS.compile(`(?:${OPERATOR})\\s*(?:${ANY_VERSION})`);
const ALL = `(?:${OPERATOR})\\s*(?:${ANY_VERSION})\\s*`;
const CONJUNCTION = RE2JS.compile(`^(?:\\s*${ALL})(?:(?:\\s+|,\\s*)${ALL})*$`);

/** Linear, yet slow. */
const MAX_CONSTRAINTS = 10_000;

/** How much of its version a constraint leaves open: `1.2.3` nothing, `1.2` the patch, `1` the minor, `*` all. */
type Open = 'nothing' | 'patch' | 'minor' | 'all';

interface Constraint {
  readonly operator: string;
  readonly version: SemanticVersion;
  readonly open: Open;
}

/** Whether a version satisfies the constraints: of those that `||` parts one, and in it all. Throws a FunctionError for what is no constraint. */
export function satisfies(version: () => SemanticVersion, constraints: string): boolean {
  if (constraints.length > MAX_CONSTRAINTS) {
    throw new FunctionError(`constraints of more than ${MAX_CONSTRAINTS} characters are not supported here`);
  }
  const alternatives = withoutRanges(constraints).split('||').map(conjunctionOf);
  const checked = version();
  return alternatives.some((conjunction) => conjunction.every((constraint) => isSatisfied(constraint, checked)));
}

/** `1.2 - 1.4` is `>= 1.2, <= 1.4`. */
function withoutRanges(constraints: string): string {
  const matcher = RANGE.matcher(constraints);
  let result = constraints;
  while (matcher.find()) {
    const [all, from, to] = [0, 1, 2].map((place) => matcher.group(place) ?? '');
    result = result.replace(all ?? '', () => `>= ${from}, <= ${to} `);
  }
  return result;
}

function conjunctionOf(text: string): Constraint[] {
  if (!CONJUNCTION.matcher(text).find()) throw new FunctionError(`improper constraint: ${text}`);
  const matcher = EVERY_SINGLE.matcher(text);
  const constraints: Constraint[] = [];
  while (matcher.find()) constraints.push(constraintOf(matcher.group() ?? ''));
  return constraints;
}

function constraintOf(text: string): Constraint {
  const matcher = SINGLE.matcher(text);
  if (!matcher.find()) throw new FunctionError(`improper constraint: ${text}`);
  const [operator = '', whole = '', major = '', minor = '', patch = '', prerelease = ''] = [1, 2, 3, 4, 5, 6].map(
    (place) => matcher.group(place) ?? '',
  );
  if (isOpen(major)) return { operator, version: parsed(`0.0.0${prerelease}`), open: 'all' };
  if (isOpen(minor.slice(1))) return { operator, version: parsed(`${major}.0.0${prerelease}`), open: 'minor' };
  if (isOpen(patch.slice(1))) return { operator, version: parsed(`${major}${minor}.0${prerelease}`), open: 'patch' };
  return { operator, version: parsed(whole), open: 'nothing' };
}

function isOpen(part: string): boolean {
  return part === '' || /^[xX*]$/.test(part);
}

function parsed(text: string): SemanticVersion {
  try {
    return new SemanticVersion(text);
  } catch (error) {
    if (error instanceof FunctionError) throw new FunctionError('constraint Parser Error', { cause: error });
    throw error;
  }
}

/** A version before a release satisfies only a constraint that has one too; `!=` looks at it itself. */
function isSatisfied(constraint: Constraint, version: SemanticVersion): boolean {
  const { operator, open } = constraint;
  const isUnasked = version.prerelease !== '' && constraint.version.prerelease === '';
  if (operator === '!=') return isOther(constraint, version, isUnasked);
  if (isUnasked) return false;
  const order = version.compare(constraint.version);
  switch (operator) {
    case '>':
      return isGreater(constraint, version);
    case '<':
      return order < 0;
    case '>=':
    case '=>':
      return order >= 0;
    case '<=':
    case '=<':
      return open === 'nothing' ? order <= 0 : isNotAbove(constraint, version);
    case '~':
    case '~>':
      return isTilde(constraint, version);
    case '^':
      return isCaret(constraint, version);
    default:
      return open === 'nothing' ? order === 0 : isTilde(constraint, version);
  }
}

function isOther({ version: wanted, open }: Constraint, version: SemanticVersion, isUnasked: boolean): boolean {
  if (open === 'nothing') return version.compare(wanted) !== 0;
  if (isUnasked) return false;
  if (wanted.major !== version.major) return true;
  if (open === 'minor') return false;
  if (wanted.minor !== version.minor) return true;
  if (open === 'all') return wanted.patch !== version.patch || version.compare(wanted) !== 0;
  return version.prerelease !== wanted.prerelease;
}

function isGreater({ version: wanted, open }: Constraint, version: SemanticVersion): boolean {
  if (open === 'nothing' || open === 'all') return version.compare(wanted) > 0;
  if (version.major !== wanted.major) return version.major > wanted.major;
  return open === 'patch' && version.minor > wanted.minor;
}

function isNotAbove({ version: wanted, open }: Constraint, version: SemanticVersion): boolean {
  if (version.major !== wanted.major) return version.major < wanted.major;
  return version.minor <= wanted.minor || open === 'minor';
}

/** The same major and minor version, as far as they are given. */
function isTilde({ version: wanted, open }: Constraint, version: SemanticVersion): boolean {
  if (version.compare(wanted) < 0) return false;
  const isZero = wanted.major === 0n && wanted.minor === 0n && wanted.patch === 0n;
  if (isZero && (open === 'nothing' || open === 'all')) return true;
  return version.major === wanted.major && (version.minor === wanted.minor || open === 'minor');
}

/** The same leftmost number that is not zero. */
function isCaret({ version: wanted, open }: Constraint, version: SemanticVersion): boolean {
  if (version.compare(wanted) < 0) return false;
  if (wanted.major > 0n || open === 'minor') return version.major === wanted.major;
  if (version.major > 0n) return false;
  if (wanted.minor > 0n || open === 'patch') return version.minor === wanted.minor;
  return version.minor === 0n && version.patch === wanted.patch;
}
