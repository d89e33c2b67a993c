import { setTimeout as delay } from 'node:timers/promises';
import { singleKey, type Store } from '@harikube/keyspace';
import { toGrpcError } from '../etcd-status.js';
import type { HttpPage, HttpPages } from '../transport/http-pages.js';

/** etcd gives a read of the health check as long. */
const HEALTH_PATIENCE_MS = 7000;
const HEALTH_KEY = Buffer.from('health');

/** `/health` and `/version`, as etcd's own port has them. */
export function etcdPages(store: Pick<Store, 'range'>, isServing: () => boolean, version: string): HttpPages {
  const [major, minor] = version.split('.');
  const versions = JSON.stringify({ etcdserver: version, etcdcluster: `${major}.${minor}.0`, storage: `${major}.${minor}.0` });
  return {
    '/health': async () => healthPage(isServing() ? await problemOf(store) : 'RAFT NO LEADER'),
    '/version': async () => ({ status: 200, contentType: 'application/json', body: versions }),
  };
}

function healthPage(reason: string): HttpPage {
  const body = JSON.stringify({ health: reason === '' ? 'true' : 'false', reason });
  return reason === ''
    ? { status: 200, contentType: 'text/plain; charset=utf-8', body }
    : { status: 503, contentType: 'text/plain; charset=utf-8', body: `${body}\n` };
}

/** Why a key of the default database cannot be read; empty when it can. */
async function problemOf(store: Pick<Store, 'range'>): Promise<string> {
  const ended = new AbortController();
  const request = { type: 'range', range: singleKey(HEALTH_KEY), limit: 1, revision: 0n, keysOnly: true, countOnly: false } as const;
  try {
    const read = store.range(request).then(() => '');
    const late = delay(HEALTH_PATIENCE_MS, 'RANGE ERROR:context deadline exceeded', { signal: ended.signal });
    late.catch(() => undefined); // ended below
    return await Promise.race([read, late]);
  } catch (error) {
    return `RANGE ERROR:${toGrpcError(error).message}`;
  } finally {
    ended.abort();
  }
}
