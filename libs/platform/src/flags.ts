import type { Env } from './env.js';
import { formatGoDuration, parseGoDuration } from './go-duration.js';
import { didYouMean } from './nearest.js';

/** A setting that is given as a flag or in the environment. */
export interface FlagDefinition {
  /** Without dashes. */
  readonly name: string;
  /** Other spellings of the same flag. */
  readonly aliases?: readonly string[];
  /** Environment names beside those made from the flag's names. */
  readonly env?: readonly string[];
  /** Takes no value: `--name`, or `--name=false`. */
  readonly isSwitch?: boolean;
  /** Its value is never shown. */
  readonly isSecret?: boolean;
  /** One line for the usage text. */
  readonly help: string;
  /** The default as the usage text shows it. */
  readonly shownDefault?: string;
}

/** A flag that somebody may know from elsewhere and that is refused with its own sentence. */
export interface RefusedFlag {
  readonly name: string;
  readonly reason: string;
}

export interface FlagSet {
  readonly flags: readonly FlagDefinition[];
  readonly refused?: readonly RefusedFlag[];
  /** `KINE_` lets the flag `log-format` be given as `KINE_LOG_FORMAT`. */
  readonly envPrefix?: string;
}

/** Settings that cannot be used: every reason is one sentence with the setting, its value and the way out. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** What a process that cannot read its settings exits with. */
  readonly exitCode = 2;
  constructor(readonly reasons: readonly string[]) {
    super(reasons.join('\n'));
  }
}

interface Given {
  readonly value: string;
  /** How it was given: `--log-format`, `KINE_LOG_FORMAT`. */
  readonly source: string;
}

/** Reads the command line; a flag wins over the environment. Throws `ConfigError`. */
export function parseFlags(set: FlagSet, argv: readonly string[], env: Env): Settings {
  const byName = new Map(set.flags.flatMap((flag) => [flag.name, ...(flag.aliases ?? [])].map((name) => [name, flag] as const)));
  const spellings = [...byName.keys()].map((name) => `--${name}`);
  const given = new Map<string, Given>();
  const reasons: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? '';
    const match = /^--?([A-Za-z][^=]*)(?:=([^]*))?$/.exec(argument);
    if (match === null) {
      reasons.push(`unexpected argument "${argument}"; settings are given as --flag=value`);
      continue;
    }
    const name = match[1] ?? '';
    const flag = byName.get(name);
    if (flag === undefined) {
      const refused = set.refused?.find((candidate) => candidate.name === name);
      reasons.push(
        refused === undefined
          ? `unknown flag "--${name}"${didYouMean(`--${name}`, spellings)}`
          : `--${name} is not supported: ${refused.reason}`,
      );
      // What follows an unknown flag is most likely its value.
      if (match[2] === undefined && argv[index + 1]?.startsWith('-') === false) {
        index++;
      }
      continue;
    }
    let value = match[2];
    if (value === undefined && flag.isSwitch === true) {
      value = 'true';
    } else if (value === undefined) {
      index++;
      value = argv[index];
      if (value === undefined) {
        reasons.push(`--${name} needs a value: --${name}=VALUE`);
        continue;
      }
    }
    const before = given.get(flag.name);
    if (before !== undefined && before.value !== value) {
      const values = flag.isSecret === true ? '' : `, "${before.value}" and "${value}"`;
      reasons.push(`${before.source} and --${name} are the same setting with two values${values}; give one`);
    }
    given.set(flag.name, { value, source: `--${name}` });
  }
  if (reasons.length > 0) {
    throw new ConfigError(reasons);
  }
  for (const flag of set.flags) {
    const fromEnv = [...(flag.env ?? []), ...environmentNames(flag, set.envPrefix)]
      .map((name) => ({ source: name, value: env[name] ?? '' }))
      .find(({ value }) => value !== '');
    if (fromEnv !== undefined && !given.has(flag.name)) {
      given.set(flag.name, fromEnv);
    }
  }
  return new Settings(given);
}

function environmentNames(flag: FlagDefinition, prefix: string | undefined): string[] {
  return prefix === undefined ? [] : [flag.name, ...(flag.aliases ?? [])].map((name) => prefix + name.toUpperCase().replaceAll('-', '_'));
}

/**
 * The settings given, read by type. What is wrong with a value is collected, so that one start names everything; `finish`
 * throws it.
 */
export class Settings {
  readonly #given: ReadonlyMap<string, Given>;
  readonly #reasons: string[] = [];

  constructor(given: ReadonlyMap<string, Given>) {
    this.#given = given;
  }

  has(name: string): boolean {
    return this.#given.has(name);
  }

  /** How a setting was given, for messages; the flag when it was not. */
  source(name: string): string {
    return this.#given.get(name)?.source ?? `--${name}`;
  }

  refuse(reason: string): void {
    this.#reasons.push(reason);
  }

  text(name: string): string | null {
    const given = this.#given.get(name);
    if (given?.value === '') {
      this.refuse(`${given.source} is empty; leave it out or give a value`);
      return null;
    }
    return given?.value ?? null;
  }

  oneOf<T extends string>(name: string, values: readonly [T, ...T[]]): T {
    const value = this.text(name);
    const found = values.find((candidate) => candidate === value);
    if (value !== null && found === undefined) {
      this.#refuseValue(name, value, `use ${values.join(' or ')}`);
    }
    return found ?? values[0];
  }

  boolean(name: string): boolean {
    const value = this.text(name)?.toLowerCase();
    if (value !== undefined && !['true', 'false', '1', '0', 't', 'f'].includes(value)) {
      this.#refuseValue(name, value, 'use true or false');
    }
    return value === 'true' || value === '1' || value === 't';
  }

  integer(name: string, absent: number, { least, most }: { readonly least: number; readonly most: number }): number {
    const value = this.text(name);
    if (value === null) {
      return absent;
    }
    const number = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
    if (Number.isNaN(number)) {
      this.#refuseValue(name, value, 'use a whole number');
      return absent;
    }
    if (number < least || number > most) {
      this.#refuseValue(name, value, `use ${least} to ${most}`);
      return absent;
    }
    return number;
  }

  /** In milliseconds. */
  duration(name: string, absentMs: number, leastMs = 0): number {
    const value = this.text(name);
    if (value === null) {
      return absentMs;
    }
    const milliseconds = parseGoDuration(value);
    if (milliseconds === undefined) {
      this.#refuseValue(name, value, 'use a duration such as 5m0s, 1h or 100ms');
      return absentMs;
    }
    if (milliseconds < leastMs) {
      this.#refuseValue(name, value, `use ${leastMs === 0 ? 'a duration that is not negative' : `at least ${formatGoDuration(leastMs)}`}`);
      return absentMs;
    }
    return milliseconds;
  }

  /** Throws `ConfigError` when anything was refused. */
  finish(): void {
    if (this.#reasons.length > 0) {
      throw new ConfigError(this.#reasons);
    }
  }

  #refuseValue(name: string, value: string, wayOut: string): void {
    this.refuse(`${this.source(name)}=${value} is not usable; ${wayOut}`);
  }
}

/** A setting of the reference that no longer means anything. */
export interface DeprecatedSetting {
  /** The environment name, or with a `*` at the end the beginning of several. */
  readonly name: string;
  readonly replacement: string;
}

/** One sentence for each deprecated setting that is given. */
export function deprecationWarnings(settings: readonly DeprecatedSetting[], env: Env): string[] {
  return settings.flatMap(({ name, replacement }) => {
    const names = name.endsWith('*') ? Object.keys(env).filter((key) => key.startsWith(name.slice(0, -1))) : [name];
    const set = names.filter((key) => (env[key] ?? '') !== '').toSorted();
    return set.length === 0 ? [] : [`${set.join(', ')} ${set.length === 1 ? 'has' : 'have'} no effect: ${replacement}`];
  });
}

/** The flags, one a line, for a usage text. */
export function flagUsage({ flags }: FlagSet): string {
  const left = flags.map(({ name, aliases = [], isSwitch }) =>
    [name, ...aliases].map((spelling) => `--${spelling}${isSwitch === true ? '' : '=VALUE'}`).join(', '),
  );
  const width = Math.min(48, Math.max(...left.map((text) => text.length)));
  return flags
    .map(
      ({ help, shownDefault }, index) =>
        `  ${(left[index] ?? '').padEnd(width)}  ${help}${shownDefault === undefined ? '' : ` (default ${shownDefault})`}`,
    )
    .join('\n');
}
