import { describe, expect, it } from '@jest/globals';
import { ConfigError, deprecationWarnings, flagUsage, parseFlags, type FlagSet, type Settings } from './flags.js';

const set: FlagSet = {
  envPrefix: 'KINE_',
  flags: [
    { name: 'listen-address', help: 'where to listen', shownDefault: '127.0.0.1:2379' },
    { name: 'server-ca-file', aliases: ['trusted-ca-file'], help: 'client CA' },
    { name: 'topology-config', env: ['TOPOLOGY_CONFIG'], help: 'rules' },
    { name: 'log-format', help: 'plain or json' },
    { name: 'timeout', help: 'how long' },
    { name: 'retain', help: 'how many' },
    { name: 'endpoint', isSecret: true, help: 'the database' },
    { name: 'debug', isSwitch: true, help: 'more lines' },
  ],
  refused: [{ name: 's3-bucket', reason: 't4 storage is not built in; use --endpoint' }],
};

function parse(argv: string[], env: Record<string, string> = {}): Settings {
  return parseFlags(set, argv, env);
}

function reasons(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    if (error instanceof ConfigError) {
      return error.reasons;
    }
    throw error;
  }
  return [];
}

describe('parseFlags', () => {
  it.each([
    [['--listen-address', ':1']],
    [['--listen-address=:1']],
    [['-listen-address=:1']],
    [['--listen-address=:1', '--listen-address=:1']],
  ])('reads %j', (argv) => {
    expect(parse(argv).text('listen-address')).toBe(':1');
  });

  it('keeps what follows the first equals sign', () => {
    expect(parse(['--listen-address=a=b']).text('listen-address')).toBe('a=b');
  });

  it('reads every spelling of a flag and of its environment name', () => {
    expect(parse(['--trusted-ca-file=ca.pem']).text('server-ca-file')).toBe('ca.pem');
    expect(parse([], { KINE_TRUSTED_CA_FILE: 'ca.pem' }).text('server-ca-file')).toBe('ca.pem');
    expect(parse([], { KINE_SERVER_CA_FILE: 'ca.pem' }).text('server-ca-file')).toBe('ca.pem');
    expect(parse([], { TOPOLOGY_CONFIG: 'file://t' }).text('topology-config')).toBe('file://t');
  });

  it('prefers a flag to the environment, and takes an empty variable for none', () => {
    expect(parse(['--log-format=json'], { KINE_LOG_FORMAT: 'plain' }).text('log-format')).toBe('json');
    expect(parse([], { KINE_LOG_FORMAT: '' }).has('log-format')).toBe(false);
  });

  it('reads switches with and without a value', () => {
    expect(parse(['--debug', '--log-format=json']).boolean('debug')).toBe(true);
    expect(parse(['--debug=false']).boolean('debug')).toBe(false);
    expect(parse([], { KINE_DEBUG: 'true' }).boolean('debug')).toBe(true);
    expect(parse([]).boolean('debug')).toBe(false);
  });

  it.each([
    [['--listen-adress=:1'], 'unknown flag "--listen-adress" (did you mean "--listen-address"?)'],
    [['--colour', 'red'], 'unknown flag "--colour"'],
    [['up'], 'unexpected argument "up"; settings are given as --flag=value'],
    [['--log-format'], '--log-format needs a value: --log-format=VALUE'],
    [['--s3-bucket=b'], '--s3-bucket is not supported: t4 storage is not built in; use --endpoint'],
    [
      ['--server-ca-file=a', '--trusted-ca-file=b'],
      '--server-ca-file and --trusted-ca-file are the same setting with two values, "a" and "b"; give one',
    ],
  ])('refuses %j', (argv, reason) => {
    expect(reasons(() => parse(argv))).toEqual([reason]);
  });

  it('shows no value of a secret setting', () => {
    expect(reasons(() => parse(['--endpoint=postgres://u:pw@h', '--endpoint=postgres://u:other@h']))).toEqual([
      '--endpoint and --endpoint are the same setting with two values; give one',
    ]);
  });

  it('names every refused argument at once', () => {
    expect(reasons(() => parse(['--a=1', '--b=2']))).toHaveLength(2);
  });
});

describe('Settings', () => {
  it('reads values by type', () => {
    const settings = parse(['--timeout=1m30s', '--retain=-5', '--log-format=json']);
    expect(settings.duration('timeout', 1)).toBe(90_000);
    expect(settings.integer('retain', 1, { least: -10, most: 10 })).toBe(-5);
    expect(settings.oneOf('log-format', ['plain', 'json'])).toBe('json');
    settings.finish();
  });

  it('gives the default for what is absent', () => {
    const settings = parse([]);
    expect(settings.duration('timeout', 5)).toBe(5);
    expect(settings.integer('retain', 7, { least: 0, most: 10 })).toBe(7);
    expect(settings.oneOf('log-format', ['plain', 'json'])).toBe('plain');
    settings.finish();
  });

  it('collects what is wrong with values, naming how each was given', () => {
    const settings = parse(['--timeout=soon', '--log-format=xml', '--debug=maybe', '--listen-address='], { KINE_RETAIN: '11' });
    settings.duration('timeout', 5);
    settings.integer('retain', 7, { least: 0, most: 10 });
    settings.oneOf('log-format', ['plain', 'json']);
    settings.boolean('debug');
    settings.text('listen-address');
    expect(reasons(() => settings.finish())).toEqual([
      '--timeout=soon is not usable; use a duration such as 5m0s, 1h or 100ms',
      'KINE_RETAIN=11 is not usable; use 0 to 10',
      '--log-format=xml is not usable; use plain or json',
      '--debug=maybe is not usable; use true or false',
      '--listen-address is empty; leave it out or give a value',
    ]);
  });

  it('refuses durations below the least', () => {
    const settings = parse(['--timeout=-1s']);
    settings.duration('timeout', 5);
    expect(reasons(() => settings.finish())).toEqual(['--timeout=-1s is not usable; use a duration that is not negative']);
  });
});

describe('deprecationWarnings', () => {
  it('says once for each setting what replaces it', () => {
    const table = [
      { name: 'LICENSE_KEY_FILE', replacement: 'no licence is needed' },
      { name: 'REVISION_MAPPER*', replacement: 'revisions are not mapped' },
      { name: 'LIST_MAX_ITEMS', replacement: 'lists are streamed' },
    ];
    expect(
      deprecationWarnings(table, { LICENSE_KEY_FILE: '/x', REVISION_MAPPER_B: '1', REVISION_MAPPER: 'bbolt', LIST_MAX_ITEMS: '' }),
    ).toEqual([
      'LICENSE_KEY_FILE has no effect: no licence is needed',
      'REVISION_MAPPER, REVISION_MAPPER_B have no effect: revisions are not mapped',
    ]);
  });
});

describe('flagUsage', () => {
  it('shows spellings and defaults', () => {
    const lines = flagUsage(set).split('\n');
    expect(lines[0]).toMatch(/^ {2}--listen-address=VALUE +where to listen \(default 127\.0\.0\.1:2379\)$/);
    expect(lines[1]).toContain('--server-ca-file=VALUE, --trusted-ca-file=VALUE');
    expect(lines[7]).toMatch(/--debug +more lines/);
  });
});
