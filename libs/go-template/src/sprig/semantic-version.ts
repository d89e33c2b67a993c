// Versions as Masterminds/semver reads and compares them: minor and patch may be missing.

import { FunctionError, type TemplateFunction } from '../template-function.js';
import { compareTexts, TypedValue } from '../value.js';

const MAX_SEGMENT = 2n ** 64n - 1n;

const PRERELEASE = '(?:-([0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*))?';
const METADATA = '(?:\\+([0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*))?';
const VERSION = new RegExp(`^v?(\\d+)(?:\\.(\\d+))?(?:\\.(\\d+))?${PRERELEASE}${METADATA}$`);

export class SemanticVersion extends TypedValue {
  readonly type = '*semver.Version';
  readonly major: bigint;
  readonly minor: bigint;
  readonly patch: bigint;
  readonly prerelease: string;
  readonly metadata: string;
  readonly original: string;

  /** Throws a FunctionError for what is no version. */
  constructor(text: string) {
    super();
    const [, major, minor, patch, prerelease = '', metadata = ''] = VERSION.exec(text) ?? [];
    if (major === undefined) throw new FunctionError('Invalid Semantic Version');
    [this.major, this.minor, this.patch] = [segment(major), segment(minor ?? '0'), segment(patch ?? '0')];
    if (prerelease.split('.').some((part) => /^0\d+$/.test(part))) throw new FunctionError('Version segment starts with 0');
    this.prerelease = prerelease;
    this.metadata = metadata;
    this.original = text;
  }

  /** Negative: the other one is higher. */
  compare(other: SemanticVersion): number {
    for (const [one, two] of [
      [this.major, other.major],
      [this.minor, other.minor],
      [this.patch, other.patch],
    ] as const) {
      if (one !== two) return one < two ? -1 : 1;
    }
    return comparePrereleases(this.prerelease, other.prerelease);
  }

  toString(): string {
    const numbers = `${this.major}.${this.minor}.${this.patch}`;
    return numbers + (this.prerelease && `-${this.prerelease}`) + (this.metadata && `+${this.metadata}`);
  }

  override method(name: string): TemplateFunction | undefined {
    switch (name) {
      case 'Major':
        return { takes: 0, isVariadic: false, run: () => this.major };
      case 'Minor':
        return { takes: 0, isVariadic: false, run: () => this.minor };
      case 'Patch':
        return { takes: 0, isVariadic: false, run: () => this.patch };
      case 'Prerelease':
        return { takes: 0, isVariadic: false, run: () => this.prerelease };
      case 'Metadata':
        return { takes: 0, isVariadic: false, run: () => this.metadata };
      case 'Original':
        return { takes: 0, isVariadic: false, run: () => this.original };
      case 'String':
        return { takes: 0, isVariadic: false, run: () => this.toString() };
      case 'Compare':
      case 'Equal':
      case 'LessThan':
      case 'LessThanEqual':
      case 'GreaterThan':
      case 'GreaterThanEqual':
        return { takes: 1, isVariadic: false, run: ([other]) => comparison(name, this, other) };
      default:
        return undefined;
    }
  }
}

function comparison(name: string, version: SemanticVersion, other: unknown): boolean | bigint {
  if (!(other instanceof SemanticVersion)) throw new FunctionError('a version is compared with a version');
  const order = version.compare(other);
  switch (name) {
    case 'Equal':
      return order === 0;
    case 'LessThan':
      return order < 0;
    case 'LessThanEqual':
      return order <= 0;
    case 'GreaterThan':
      return order > 0;
    case 'GreaterThanEqual':
      return order >= 0;
    default:
      return BigInt(order);
  }
}

function segment(digits: string): bigint {
  const value = BigInt(digits.slice(0, 1000));
  if (value <= MAX_SEGMENT) return value;
  throw new FunctionError(`Error parsing version segment: strconv.ParseUint: parsing "${digits}": value out of range`);
}

/** None is higher than any. */
function comparePrereleases(one: string, other: string): number {
  if (one === other) return 0;
  if (one === '' || other === '') return one === '' ? 1 : -1;
  const [parts, others] = [one.split('.'), other.split('.')];
  for (let place = 0; place < Math.max(parts.length, others.length); place++) {
    const order = comparePrereleaseParts(parts[place] ?? '', others[place] ?? '');
    if (order !== 0) return order;
  }
  return 0;
}

function comparePrereleaseParts(one: string, other: string): number {
  if (one === other) return 0;
  if (one === '' || other === '') return one === '' ? -1 : 1;
  const [isNumber, isOtherNumber] = [isUint64(one), isUint64(other)];
  if (isNumber && isOtherNumber) return BigInt(one) > BigInt(other) ? 1 : -1;
  if (isNumber || isOtherNumber) return isNumber ? -1 : 1;
  return compareTexts(one, other) > 0 ? 1 : -1;
}

function isUint64(text: string): boolean {
  return /^\d{1,20}$/.test(text) && BigInt(text) <= MAX_SEGMENT;
}
