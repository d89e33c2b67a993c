import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiServerDouble, type Exchange } from '@harikube/kube/api-server-double';
import { RouterAdminClient, type RouterTopologyState } from '@harikube/platform';
import { EtcdClient } from '@harikube/testing';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { kindTopology } from './kind-topology.js';
import { RouterProcess, RouterRefusedError } from './router-process.js';
import { EMAILS, GROUP, TwoFiles, USERS } from './two-files.js';

/** What a router says once the keys of a topology are in the way. */
const HELD_BACK = /held back by keys that would have to move/;

let files: TwoFiles;
let router: RouterProcess | null;
let server: ApiServerDouble | null;
let tokenFile: string;

beforeEach(async () => {
  files = await TwoFiles.create();
  router = null;
  server = null;
  tokenFile = join(files.folder, 'token');
  writeFileSync(tokenFile, 'open sesame');
});

afterEach(async () => {
  await router?.kill();
  await server?.close();
  await files.remove();
});

async function start(...flags: readonly string[]): Promise<{ readonly client: EtcdClient; readonly admin: RouterAdminClient }> {
  router = await RouterProcess.start({
    database: join(files.folder, 'main.db'),
    flags: ['--admin-bind-address', '127.0.0.1:0', '--admin-token-file', tokenFile, ...flags],
  });
  const { port } = await router.line(({ msg }) => msg === 'serving the admin API');
  const admin = new RouterAdminClient({ url: `http://127.0.0.1:${String(port)}`, tokenFile });
  return { client: new EtcdClient(router.address), admin };
}

function fromFile(): ReturnType<typeof start> {
  return start('--topology-config', `file://${join(files.folder, 'topology.yaml')}`);
}

/** Does something, and resolves with the line of the log that follows it. */
async function seen(message: string | RegExp, change: () => unknown): Promise<{ readonly [field: string]: unknown }> {
  if (router === null) throw new Error('there is no router');
  const skipped = router.lines.length;
  await change();
  return router.line(({ msg }) => (typeof message === 'string' ? msg === message : message.test(msg)), skipped);
}

function keysOf({ backends }: RouterTopologyState): Record<string, number | null> {
  return Object.fromEntries(backends.map(({ name, keys }) => [name, keys]));
}

describe('a router whose topology file is edited', () => {
  it('takes up what it says without a restart, and holds back what would hide keys until they are gone', async () => {
    const { client, admin } = await fromFile();
    await client.put(`${USERS}ns/u`, 'x');
    const revision = await client.put(`${GROUP}tenants/t`, 'x');
    await seen('Backends registered: [users emails invoices main]', () => files.route(['users', 'emails', 'invoices']));
    await client.put(`${GROUP}invoices/ns/i`, 'x');
    const before = await admin.topology();
    expect(keysOf(before)).toEqual({ users: 1, emails: 0, invoices: 1, main: 1 });
    expect([before.version, before.error]).toEqual([before.sourceVersion, undefined]);

    const { reason } = await seen(HELD_BACK, () => files.route(['users', 'emails', 'invoices', 'tenants']));
    expect(reason).toMatch(/1 key \(\d+ bytes\) in backend "main" belongs to "tenants"/);
    const held = await admin.topology();
    expect([held.version, held.error?.version, held.error?.moves.map(({ keys }) => keys)]).toEqual([
      before.version,
      held.sourceVersion,
      [1],
    ]);
    expect((await client.list(GROUP)).kvs.map(({ key }) => key.toString())).toEqual([
      `${GROUP}invoices/ns/i`,
      `${GROUP}tenants/t`,
      `${USERS}ns/u`,
    ]);

    await client.deleteIf(`${GROUP}tenants/t`, revision);
    await seen('Backends registered: [tenants users emails invoices main]', () => files.route(['tenants', 'users', 'emails', 'invoices']));
    await client.put(`${GROUP}tenants/t2`, 'x');
    const after = await admin.topology();
    expect([keysOf(after), after.error]).toEqual([{ tenants: 1, users: 1, emails: 0, invoices: 1, main: 0 }, undefined]);
    client.close();
    expect(await router?.stop()).toBe(0);
  });

  it('refuses what is wrong in it as a whole, and goes on with what was in force, over a restart, too', async () => {
    const { client, admin } = await fromFile();
    await client.put(`${USERS}ns/u`, 'x');
    const { version } = await admin.topology();
    const path = join(files.folder, 'topology.yaml');
    const draft = join(files.folder, 'draft.yaml');
    writeFileSync(draft, 'backends:\n- name: users\n');
    const { reason } = await seen('the topology is refused, the one in force stays', () => renameSync(draft, path));
    expect(reason).toContain(`${path}:2:3: backends[0]: no matcher`);
    await seen('the topology cannot be read, the one in force stays', () => rmSync(path));
    expect((await admin.topology()).version).toBe(version);
    client.close();
    await router?.kill();

    const again = await fromFile();
    expect(router?.lines.map(({ msg }) => msg)).toContain('Backends registered: [users emails main]');
    await router?.line(({ msg }) => msg === 'the topology cannot be read, the one in force stays');
    await again.client.put(`${EMAILS}ns/e`, 'x');
    const state = await again.admin.topology();
    expect([state.version, state.sourceVersion, keysOf(state)]).toEqual([version, null, { users: 1, emails: 1, main: 0 }]);
    again.client.close();
  });

  it('does not start without a topology when none was ever in force', async () => {
    rmSync(join(files.folder, 'topology.yaml'));
    const refused = fromFile();
    await expect(refused).rejects.toThrow(RouterRefusedError);
    await expect(refused).rejects.toThrow(/cannot read topology .*topology\.yaml: there is no such file/);
  });
});

describe('a router whose topology is in a Secret', () => {
  let kubeconfig: string;

  function secret(resourceVersion: string, kinds: readonly string[]): object {
    const data = kinds.map((kind, index) => {
      const text = kindTopology([{ kind, endpoint: `sqlite://${join(files.folder, `${kind}.db`)}` }]);
      return [`${index}-${kind}.yaml`, Buffer.from(text).toString('base64')];
    });
    return {
      metadata: { name: 'topology-config', namespace: 'harikube', uid: 'u', resourceVersion },
      data: Object.fromEntries(data) as object,
    };
  }

  /** The watch for the Secret, after the question whether it is there. */
  async function watched(): Promise<Exchange> {
    if (server === null) throw new Error('there is no server');
    (await server.next()).fail(404, 'NotFound');
    return (await server.next()).open();
  }

  function fromSecret(): ReturnType<typeof start> {
    return start('--topology-config', 'secret://harikube/topology-config', '--kubeconfig', kubeconfig);
  }

  it('serves before there is one, takes it up when it comes, and starts with it when the API server is away', async () => {
    server = await ApiServerDouble.start();
    const { port } = server;
    kubeconfig = join(files.folder, 'kubeconfig');
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
        clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
        users: [{ name: 'c', user: {} }],
      }),
    );
    const { client, admin } = await fromSecret();
    expect(router?.lines.map(({ msg }) => msg)).toContain('Backends registered: [main]');
    await client.put(`/registry/secrets/harikube/topology-config`, 'x');
    const watch = await watched();
    await seen('the topology cannot be read, the one in force stays', () => watch.initialEnd('1'));
    expect((await admin.topology()).error?.message).toBe('cannot read topology secret://harikube/topology-config: there is no such Secret');
    await seen('Backends registered: [users emails main]', () => watch.send('ADDED', secret('2', ['users', 'emails'])));
    await client.put(`${USERS}ns/u`, 'x');
    const state = await admin.topology();
    expect([keysOf(state), state.error, state.version]).toEqual([{ users: 1, emails: 0, main: 1 }, undefined, state.sourceVersion]);
    await seen('the topology cannot be read, the one in force stays', () => watch.send('DELETED', secret('3', ['users', 'emails'])));
    client.close();
    await router?.kill();
    await server.close();

    const again = await fromSecret();
    expect(router?.lines.map(({ msg }) => msg)).toContain('Backends registered: [users emails main]');
    await again.client.put(`${EMAILS}ns/e`, 'x');
    const alone = await again.admin.topology();
    expect([alone.version, alone.sourceVersion, keysOf(alone)]).toEqual([state.version, null, { users: 1, emails: 1, main: 1 }]);
    server = await ApiServerDouble.start(port);
    const later = await watched();
    later.send('ADDED', secret('4', ['users', 'emails', 'invoices'])).initialEnd('4');
    await router?.line(({ msg }) => msg === 'Backends registered: [users emails invoices main]');
    again.client.close();
  });
});
