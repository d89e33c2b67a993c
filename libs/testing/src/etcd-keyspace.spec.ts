import { afterAll } from '@jest/globals';
import { describeKeyspace } from './describe-keyspace.js';
import { EtcdDatabases, openEtcd } from './etcd-databases.js';

// An etcd is one database: each backend of a keyspace has its own.
const servers = new Map<string, EtcdDatabases>();

afterAll(async () => {
  await Promise.all([...servers.values()].map((server) => server.close()));
});

describeKeyspace('etcd', async () => {
  const urls = new Map<string, Promise<string>>();
  return {
    open: async (name) => {
      const databases = servers.get(name) ?? new EtcdDatabases();
      servers.set(name, databases);
      const url = urls.get(name) ?? databases.create();
      urls.set(name, url);
      return openEtcd(await url, { name });
    },
    remove: () => Promise.resolve(),
  };
});
