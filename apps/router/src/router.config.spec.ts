import { resolve } from 'node:path';
import { ConfigError } from '@harikube/platform';
import { describe, expect, it } from '@jest/globals';
import { parseRouterConfig, routerUsage, type RouterConfig } from './router.config.js';

function parse(argv: string[] = [], env: Record<string, string> = {}): RouterConfig {
  return parseRouterConfig(argv, env);
}

function reasons(argv: string[], env: Record<string, string> = {}): readonly string[] {
  try {
    parse(argv, env);
  } catch (error) {
    if (error instanceof ConfigError) {
      return error.reasons;
    }
    throw error;
  }
  return [];
}

const certificate = ['--server-cert-file=c.pem', '--server-key-file=k.pem'];

describe('parseRouterConfig', () => {
  it('needs no settings', () => {
    expect(parse()).toEqual({
      listen: { type: 'tcp', host: '127.0.0.1', port: 2379 },
      listenTls: null,
      defaultBackend: {
        dataSourceName: 'sqlite://./db/state.db',
        endpoint: { scheme: 'sqlite', path: resolve('db/state.db'), synchronous: 'full', busyTimeoutMs: 30_000 },
        tls: null,
        pool: { maxIdle: 0, maxOpen: 0, maxLifeTimeMs: 0, maxIdleLifeTimeMs: 0 },
      },
      writer: null,
      backendTimeoutMs: 5000,
      acceptRestored: [],
      topologySource: null,
      topologyTlsDirectory: resolve('db/tls'),
      kubeconfig: null,
      etcdPrefix: '/registry',
      metricsListen: { host: '127.0.0.1', port: 8080 },
      admin: null,
      watchProgressNotifyIntervalMs: 5000,
      emulatedEtcdVersion: '3.6.11',
      compaction: { intervalMs: 0, intervalJitterPercent: 0, timeoutMs: 5000, minRetain: 1000, batchSize: 1000 },
      slowSqlThresholdMs: 1000,
      slowSqlWarningThresholdMs: 5000,
      logFormat: 'plain',
      debug: false,
      warnings: [],
    } satisfies RouterConfig);
  });

  it('reads every flag of the reference', () => {
    expect(
      parse([
        '--listen-address=0.0.0.0:2379',
        '--endpoint=multi://sqlite:///db/main.db?_journal=WAL&cache=shared&synchronous=NORMAL',
        '--server-cert-file=c.pem',
        '--server-key-file=k.pem',
        '--trusted-ca-file=ca.pem',
        '--log-format=json',
        '--metrics-bind-address=:9090',
        '--metrics-ignore-tls-config',
        '--metrics-enable-profiling=false',
        '--datastore-max-idle-connections=-1',
        '--datastore-max-open-connections=90',
        '--datastore-connection-max-lifetime=5m',
        '--datastore-connection-max-idle-time=2m',
        '--slow-sql-threshold=2s',
        '--slow-sql-warning-threshold=6s',
        '--watch-progress-notify-interval=1s',
        '--emulated-etcd-version=3.5.13',
        '--compact-interval=5m',
        '--compact-interval-jitter=10',
        '--compact-timeout=6s',
        '--compact-min-retain=100',
        '--compact-batch-size=200',
        '--poll-batch-size=500',
        '--etcd-prefix=/custom',
        '--debug',
      ]),
    ).toEqual({
      listen: { type: 'tcp', host: '0.0.0.0', port: 2379 },
      listenTls: { certFile: 'c.pem', keyFile: 'k.pem', clientCaFile: 'ca.pem' },
      defaultBackend: {
        dataSourceName: 'sqlite:///db/main.db?_journal=WAL&cache=shared&synchronous=NORMAL',
        endpoint: { scheme: 'sqlite', path: '/db/main.db', synchronous: 'normal', busyTimeoutMs: 30_000 },
        tls: null,
        pool: { maxIdle: -1, maxOpen: 90, maxLifeTimeMs: 300_000, maxIdleLifeTimeMs: 120_000 },
      },
      writer: null,
      backendTimeoutMs: 5000,
      acceptRestored: [],
      topologySource: null,
      topologyTlsDirectory: resolve('db/tls'),
      kubeconfig: null,
      etcdPrefix: '/custom',
      metricsListen: { host: '', port: 9090 },
      admin: null,
      watchProgressNotifyIntervalMs: 1000,
      emulatedEtcdVersion: '3.5.13',
      compaction: { intervalMs: 300_000, intervalJitterPercent: 10, timeoutMs: 6000, minRetain: 100, batchSize: 200 },
      slowSqlThresholdMs: 2000,
      slowSqlWarningThresholdMs: 6000,
      logFormat: 'json',
      debug: true,
      warnings: [
        '--datastore-max-idle-connections has no effect: a SQLite file has a fixed set of connections',
        '--datastore-max-open-connections has no effect: a SQLite file has a fixed set of connections',
        '--datastore-connection-max-lifetime has no effect: a SQLite file has a fixed set of connections',
        '--datastore-connection-max-idle-time has no effect: a SQLite file has a fixed set of connections',
        '--compact-timeout has no effect: a step of a compaction is bounded by --compact-batch-size',
        '--poll-batch-size has no effect: nothing is polled, watches are fed by the writes themselves',
      ],
    } satisfies RouterConfig);
  });

  it('reads how a router on a networked database shares it with others', () => {
    const endpoint = '--endpoint=postgres://router@db.example/harikube';
    expect(parse([endpoint])).toMatchObject({ writer: { advertiseAddress: null, leaseMs: 5000 }, backendTimeoutMs: 5000, warnings: [] });
    const flags = [
      '--advertise-address=[2001:db8::1]:2379',
      '--writer-lease-duration=1s',
      '--backend-timeout=250ms',
      '--accept-restored=tenants, users,tenants',
    ];
    const writer = { advertiseAddress: '[2001:db8::1]:2379', leaseMs: 1000 };
    const expected = { writer, backendTimeoutMs: 250, acceptRestored: ['tenants', 'users'], warnings: [] };
    expect(parse([endpoint, ...flags])).toMatchObject(expected);
    const env = {
      KINE_ADVERTISE_ADDRESS: '[2001:db8::1]:2379',
      KINE_WRITER_LEASE_DURATION: '1s',
      KINE_BACKEND_TIMEOUT: '250ms',
      KINE_ACCEPT_RESTORED: 'tenants,users',
    };
    expect(parse([endpoint], env)).toMatchObject(expected);
  });

  it('uses the TLS and the pool of the default database where it is a server', () => {
    const pool = ['--datastore-max-open-connections=9', '--datastore-connection-max-lifetime=5m'];
    const tls = ['--ca-file=ca.pem', '--cert-file=c.pem', '--key-file=k.pem', '--skip-verify'];
    for (const endpoint of ['postgres://router@db/harikube', 'mysql://router@tcp(db:3306)/harikube', 'https://etcd-0:2379']) {
      expect(parse([`--endpoint=${endpoint}`, ...pool, ...tls])).toMatchObject({
        defaultBackend: {
          tls: { caFile: 'ca.pem', certFile: 'c.pem', keyFile: 'k.pem', skipVerify: true },
          pool: { maxIdle: 0, maxOpen: 9, maxLifeTimeMs: 300_000, maxIdleLifeTimeMs: 0 },
        },
        warnings: [],
      });
    }
  });

  it('says that a file has one router', () => {
    const { writer, warnings } = parse(['--advertise-address=router-0:2379', '--writer-lease-duration=2s']);
    expect(writer).toBeNull();
    expect(warnings).toEqual([
      '--advertise-address has no effect: one router has a SQLite file to itself, and no other stands by',
      '--writer-lease-duration has no effect: one router has a SQLite file to itself, and no other stands by',
    ]);
  });

  it('takes both spellings of a flag for the same', () => {
    for (const [one, other] of [
      ['--server-ca-file', '--trusted-ca-file'],
      ['--datastore-connection-max-idle-lifetime', '--datastore-connection-max-idle-time'],
    ] as const) {
      const value = one.includes('idle') ? '3m' : 'ca.pem';
      // A warning names the spelling that was given.
      const { warnings, ...expected } = parse([...certificate, `${other}=${value}`]);
      expect(parse([...certificate, `${one}=${value}`])).toMatchObject(expected);
      expect(warnings.every((warning) => warning.includes(other))).toBe(true);
      expect(parse([...certificate, `${one}=${value}`])).not.toEqual(parse(certificate));
    }
  });

  it('reads the environment where no flag is given', () => {
    const config = parse(['--log-format=plain'], {
      KINE_LOG_FORMAT: 'json',
      KINE_DEBUG: 'true',
      TOPOLOGY_CONFIG: 'file:///etc/topology.yaml',
    });
    expect(config).toMatchObject({ logFormat: 'plain', debug: true, topologySource: { type: 'file', path: '/etc/topology.yaml' } });
  });

  it.each<[string, RouterConfig['listen']]>([
    ['127.0.0.1:0', { type: 'tcp', host: '127.0.0.1', port: 0 }],
    ['localhost:2379', { type: 'tcp', host: 'localhost', port: 2379 }],
    ['tcp://127.0.0.1:2379', { type: 'tcp', host: '127.0.0.1', port: 2379 }],
    ['http://127.0.0.1:2379', { type: 'tcp', host: '127.0.0.1', port: 2379 }],
    ['http://127.0.0.1:2379/', { type: 'tcp', host: '127.0.0.1', port: 2379 }],
    ['[::1]:2379', { type: 'tcp', host: '::1', port: 2379 }],
    ['unix://router.sock', { type: 'unix', path: 'router.sock' }],
    ['unix:///run/router.sock', { type: 'unix', path: '/run/router.sock' }],
  ])('listens on %s', (address, listen) => {
    expect(parse([`--listen-address=${address}`])).toMatchObject({ listen, listenTls: null });
  });

  it('serves TLS where a certificate is given', () => {
    const listenTls = { certFile: 'c.pem', keyFile: 'k.pem', clientCaFile: null };
    expect(parse(['--listen-address=https://127.0.0.1:2379', ...certificate])).toMatchObject({ listenTls });
    expect(parse(['--listen-address=127.0.0.1:2379', ...certificate])).toMatchObject({ listenTls });
  });

  it.each([
    [['--advertise-address=0.0.0.0:2379'], '--advertise-address=0.0.0.0:2379 is no address that others can connect to; write HOST:PORT'],
    [['--advertise-address=:2379'], 'is no address that others can connect to'],
    [['--advertise-address=router-0'], 'is no address that others can connect to'],
    [['--advertise-address=router-0:0'], 'is no address that others can connect to'],
    [['--writer-lease-duration=999ms'], '--writer-lease-duration=999ms is not usable; use at least 1s'],
    [['--backend-timeout=0s'], '--backend-timeout=0s is not usable; use at least 100ms'],
    [['--accept-restored=tenants,,users'], '--accept-restored=tenants,,users holds an empty name; write the names of backends'],
    [['--accept-restored=main'], '--accept-restored=main names the default database'],
    [['--listen-address=nowhere'], '--listen-address=nowhere is not an address; write HOST:PORT'],
    [['--listen-address=127.0.0.1:70000'], 'is not an address'],
    [['--listen-address=udp://127.0.0.1:1'], 'is not an address'],
    [['--listen-address=unix://'], 'names no socket; write unix://PATH'],
    [['--listen-address=https://127.0.0.1:1'], 'needs a certificate; give --server-cert-file and --server-key-file'],
    [['--listen-address=http://127.0.0.1:1', ...certificate], 'is plain although --server-cert-file is given; write https://'],
    [['--server-cert-file=c.pem'], '--server-cert-file=c.pem is given without --server-key-file; give both or none'],
    [['--server-key-file=k.pem'], '--server-key-file=k.pem is given without --server-cert-file; give both or none'],
    [['--trusted-ca-file=ca.pem'], '--trusted-ca-file=ca.pem demands client certificates, but the listener has none itself'],
    [
      ['--listen-address=0.0.0.0:2379'],
      '--listen-address=0.0.0.0:2379 would serve everything without encryption beyond this machine; give',
    ],
    [['--listen-address=:2379'], 'or allow it by --insecure-listen'],
    [
      ['--listen-address=192.0.2.1:2379', ...certificate],
      'demand client certificates by --server-ca-file, or allow it by --insecure-listen',
    ],
    [['--metrics-bind-address=8080'], '--metrics-bind-address=8080 is not an address; write HOST:PORT or :PORT, or 0 for none'],
    [['--metrics-enable-profiling'], '--metrics-enable-profiling is not supported'],
    [
      ['--endpoint=sqlite://a.db', '--ca-file=ca.pem'],
      '--ca-file cannot be used with --endpoint=sqlite://a.db, which is a file; leave it out',
    ],
    [
      ['--endpoint=nats://u:pw@h/db'],
      '--endpoint is not usable: endpoint "nats://u:***@h/db": scheme "nats" is recognised but not supported',
    ],
    [['--endpoint=multi://sqlite://a.db?synchronous=OFF'], 'parameter synchronous=OFF is not supported'],
    [['--topology-config=secret://harikube'], '--topology-config is not usable: "secret://harikube" names no Secret'],
    [
      ['--admin-bind-address=127.0.0.1:1'],
      '--admin-bind-address=127.0.0.1:1 would be open to everybody; give --admin-token-file, or --admin-ca-file for client certificates',
    ],
    [
      ['--admin-bind-address=:1', '--admin-token-file=t'],
      '--admin-bind-address=:1 would be plain beyond this machine; give --admin-cert-file and --admin-key-file, or listen on 127.0.0.1',
    ],
    [
      ['--admin-bind-address=127.0.0.1:1', '--admin-ca-file=ca.pem'],
      '--admin-ca-file asks for client certificates, which takes TLS; give --admin-cert-file and --admin-key-file',
    ],
    [
      ['--admin-bind-address=127.0.0.1:1', '--admin-token-file=t', '--admin-key-file=k.pem'],
      '--admin-cert-file and --admin-key-file belong together; give both or none',
    ],
    [
      ['--admin-token-file=t', '--admin-ca-file=ca.pem'],
      '--admin-token-file, --admin-ca-file: no admin API is served; give --admin-bind-address=HOST:PORT, or leave the rest out',
    ],
    [['--admin-bind-address=2381', '--admin-token-file=t'], '--admin-bind-address=2381 is not an address; write HOST:PORT or :PORT'],
    [['--emulated-etcd-version=3.6'], '--emulated-etcd-version=3.6 is not a version'],
    [['--compact-interval=5'], '--compact-interval=5 is not usable; use a duration'],
    [['--compact-interval-jitter=101'], '--compact-interval-jitter=101 is not usable; use 0 to 100'],
    [['--log-format=text'], '--log-format=text is not usable; use plain or json'],
    [['--s3-bucket=b'], '--s3-bucket is not supported: t4 and S3 storage is not built in'],
    [['--peer-bind-address=:1'], '--peer-bind-address is not supported'],
    [['--listen-adress=:1'], 'unknown flag "--listen-adress" (did you mean "--listen-address"?)'],
  ])('refuses %j', (argv, reason) => {
    const found = reasons(argv);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(reason);
  });

  it('listens beyond the machine with client certificates, or when it is allowed', () => {
    expect(parse(['--listen-address=0.0.0.0:2379', ...certificate, '--server-ca-file=ca.pem']).listenTls?.clientCaFile).toBe('ca.pem');
    expect(parse(['--listen-address=0.0.0.0:2379', '--insecure-listen']).listenTls).toBeNull();
    expect(parse(['--listen-address=0.0.0.0:2379', ...certificate, '--insecure-listen']).listenTls?.clientCaFile).toBeNull();
  });

  it('serves the admin API to who shows a token, on this machine, or to client certificates', () => {
    expect(parse(['--admin-bind-address=127.0.0.1:2381', '--admin-token-file=token']).admin).toEqual({
      listen: { host: '127.0.0.1', port: 2381 },
      tokenFile: 'token',
      tls: null,
    });
    expect(parse(['--admin-bind-address=:2381', '--admin-ca-file=ca', '--admin-cert-file=cert', '--admin-key-file=key']).admin).toEqual({
      listen: { host: '', port: 2381 },
      tokenFile: null,
      tls: { certFile: 'cert', keyFile: 'key', clientCaFile: 'ca' },
    });
    expect(parse(['--admin-bind-address=0', '--admin-token-file=token']).admin).toBeNull();
  });

  it('takes a topology from a Secret, and says when a folder for certificates is of no use', () => {
    const env = { TOPOLOGY_CONFIG: 'secret://harikube/topology-config', TOPOLOGY_CONFIG_TLS_DIR: '/tls', KUBECONFIG: '/kubeconfig' };
    expect(parse([], env)).toMatchObject({
      topologySource: { type: 'secret', namespace: 'harikube', name: 'topology-config' },
      topologyTlsDirectory: '/tls',
      kubeconfig: '/kubeconfig',
      warnings: [],
    });
    expect(parse([], { TOPOLOGY_CONFIG: 'file://t.yaml', TOPOLOGY_CONFIG_TLS_DIR: '/tls' }).warnings).toEqual([
      'TOPOLOGY_CONFIG_TLS_DIR has no effect: only a secret:// topology brings certificates; name their files in the topology (backendTLS)',
    ]);
  });

  it('names every setting that cannot be used', () => {
    expect(reasons(['--log-format=x', '--compact-timeout=x', '--endpoint=x'])).toHaveLength(3);
  });

  it('shows no password', () => {
    const found = reasons(['--endpoint=mysql://u:s3cret@tcp(h)/'], { TOPOLOGY_CONFIG: 'ftp://u:s3cret@h/t' });
    expect(found).toHaveLength(2);
    expect(found.join()).not.toContain('s3cret');
  });

  it('turns metrics off by 0', () => {
    expect(parse(['--metrics-bind-address=0']).metricsListen).toBeNull();
  });

  it('warns once of settings that have no effect', () => {
    const found = parse([], {
      LICENSE_KEY_FILE: '/l',
      REVISION_MAPPER: 'bbolt',
      REVISION_MAPPER_BBOLT_BATCH_SIZE: '1',
      LIST_MAX_ITEMS: '5',
    }).warnings;
    expect(found).toEqual([
      'LICENSE_KEY_FILE has no effect: no licence is needed, every feature is there',
      'REVISION_MAPPER, REVISION_MAPPER_BBOLT_BATCH_SIZE have no effect: all databases share one revision clock, there is nothing to map',
      'LIST_MAX_ITEMS has no effect: lists are never cut; large ones are streamed in bounded memory',
    ]);
  });
});

describe('routerUsage', () => {
  it('lists every flag with its default', () => {
    expect(routerUsage()).toContain('--server-ca-file=VALUE, --trusted-ca-file=VALUE');
    expect(routerUsage()).toContain('(default 127.0.0.1:2379)');
  });
});
