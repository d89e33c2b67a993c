import { EtcdBackend, parseEtcd, type DatabaseSettings } from '@harikube/datasources';
import { type EtcdServer, type EtcdServerOptions, startEtcd } from './databases/etcd-server.js';

/** How tests use an etcd, unless they say otherwise. */
export const ETCD_SETTINGS: DatabaseSettings = {
  name: 'main',
  tls: null,
  pool: {},
  compactBatchSize: 1000,
  requestTimeoutMs: 10_000,
  expectedIdentity: null,
};

/** The etcd of one spec, started when it is first asked for; a test gets it empty. */
export class EtcdDatabases {
  #server: Promise<EtcdServer> | undefined;

  constructor(private readonly options: EtcdServerOptions = { isDurable: false }) {}

  server(): Promise<EtcdServer> {
    return (this.#server ??= startEtcd(this.options));
  }

  /** A data source name of the etcd, which is empty. */
  async create(): Promise<string> {
    return (await this.server()).createDatabase();
  }

  async close(): Promise<void> {
    await (await this.#server)?.stop();
  }
}

export async function openEtcd(url: string, settings: Partial<DatabaseSettings> = {}): Promise<EtcdBackend> {
  const backend = new EtcdBackend(parseEtcd(url, url), { ...ETCD_SETTINGS, ...settings });
  await backend.open();
  return backend;
}
