import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PLATFORM_NAMESPACE, type TopologyConfig } from '@harikube/crds';
import { topologyConfig } from '@harikube/topology-operator/wrong-configs';
import { eventually } from './eventually.js';
import type { Kubectl } from './kubectl.js';
import { RunningCluster } from './running-cluster.js';
import { DRY_RUN, WebhookOperator } from './webhook-operator.js';

const MINUTES = 60_000;
const HOME = 'harikube';
const CREATE = ['create', '-f', '-'];
const APPLY = ['apply', '-f', '-'];

let own: string;
let cluster: RunningCluster;
let kubectl: Kubectl;

const file = (name: string): string => `sqlite://${join(cluster.folder, `${name}.db`)}`;
const shop = (more: object = {}): object => ({ name: 'shop', endpoint: file('shop'), namespace: { namespace: 'shop' }, ...more });
const other = (more: object = {}): object => ({
  name: 'other',
  endpoint: file('other'),
  namespace: { namespace: 'other', kinds: ['secrets'] },
  ...more,
});
const config = (...backends: object[]): TopologyConfig => topologyConfig('config', backends);

beforeAll(async () => {
  own = await mkdtemp(join(tmpdir(), 'harikube-topology-admission-router-'));
  const tokenFile = join(own, 'token');
  await writeFile(tokenFile, 'open sesame', { mode: 0o600 });
  cluster = await RunningCluster.start({
    name: 'topology-admission-router',
    store: 'router',
    routerFlags: (folder) => [
      ...['--topology-config', `secret://${HOME}/topology-config`, '--kubeconfig', join(folder, 'kubeconfig')],
      ...['--admin-bind-address', '127.0.0.1:0', '--admin-token-file', tokenFile],
    ],
  });
  ({ kubectl } = cluster);
  await cluster.installCrds();
  for (const namespace of [PLATFORM_NAMESPACE, HOME, 'shop']) await kubectl.succeed(['create', 'namespace', namespace]);
  const port = (await cluster.router?.line(({ msg }) => msg === 'serving the admin API'))?.['port'];
  const routerUrl = `http://127.0.0.1:${String(port)}`;
  await WebhookOperator.start({ cluster, routerUrl, tokenFile, references: ['shop/database'] });
}, 3 * MINUTES);

afterAll(async () => {
  await cluster?.stop();
  await rm(own, { recursive: true, force: true });
});

describe('the webhook of TopologyConfigs with a real router', () => {
  it('refuses rules that would hide keys, with their number, and stores nothing', async () => {
    await kubectl.succeed(['create', 'configmap', 'early', '-n', 'default']);
    const words = await kubectl.refuse(CREATE, config(shop({ name: 'maps', namespace: undefined, prefix: { prefix: 'configmaps' } })));
    expect(words).toMatch(
      /spec\.backends\[0\]: Invalid value: \d+ keys? \(\d+ bytes\) in "main", such as \/registry\/configmaps\/[^ ]+, would have to be in "maps", and would not be found any more/,
    );
    expect(await kubectl.succeed(['get', 'topologyconfigs', '-A'])).toContain('No resources found');
  });

  it('refuses the default database, and one that cannot be opened', async () => {
    expect(await kubectl.refuse(DRY_RUN, config(shop({ endpoint: file('main') })))).toContain(
      'is the same database as that of the default backend',
    );
    expect(await kubectl.refuse(DRY_RUN, config(shop({ endpoint: `sqlite://${join(cluster.folder, 'kubeconfig', 'x.db')}` })))).toContain(
      'spec.backends[0].endpoint: Invalid value: backend "shop" cannot be opened',
    );
  });

  it('says nothing of what a Secret holds, whatever the router says', async () => {
    const refers = config(shop({ endpoint: 'secret://shop/database/dsn' }));
    const place = join(cluster.folder, 'kubeconfig', 'Canary.db');
    await kubectl.succeed(['create', 'secret', 'generic', 'database', '-n', 'shop', `--from-literal=dsn=sqlite://${place}`]);
    const words = await kubectl.refuse(DRY_RUN, refers);
    expect(words).toContain('what secret://shop/database/dsn holds is no database that the router can use');
    expect(words).not.toContain('Canary');
    await kubectl.succeed(['delete', 'secret', 'database', '-n', 'shop']);
  });

  it('shows what would change, and what is accepted becomes Active', async () => {
    expect(await kubectl.succeed(DRY_RUN, config(other()))).toContain(
      `Warning: would add "other": namespace other kinds=secrets in ${file('other')}`,
    );
    await kubectl.succeed(CREATE, config(other()));
    await kubectl.succeed(['wait', 'topologyconfig', 'config', '--for=condition=Active', '--timeout=120s']);
    await kubectl.succeed(['create', 'namespace', 'other']);
    for (const name of ['one', 'two']) await kubectl.succeed(['create', 'secret', 'generic', name, '-n', 'other']);
  });

  it('refuses to let a rule go, or its database, while there are keys', async () => {
    const gone = await kubectl.refuse(APPLY, config({ name: 'empty', endpoint: file('empty'), namespace: { namespace: 'empty' } }));
    expect(gone).toMatch(
      /spec\.backends: Invalid value: 2 keys \(\d+ bytes\) in "other", such as \/registry\/secrets\/other\/[a-z]+, would have to be in "main"/,
    );
    expect(gone).toContain('give them up by the annotation harikube.info/abandon-data: other=2');
    expect(await kubectl.refuse(APPLY, config(other({ endpoint: file('anew') })))).toMatch(
      /2 keys \(\d+ bytes\) in the database that "other" has so far, .*: keep the endpoint/,
    );
  });

  it('warns of a deletion that is held, and lets it happen when its keys are given up by their number', async () => {
    const held = await kubectl.succeed(['delete', 'topologyconfig', 'config', '--wait=false']);
    expect(held).toContain('Warning: "other" holds 2 keys: this TopologyConfig stays until they are gone');
    const annotate = (value: string): string[] => [
      'annotate',
      '--overwrite',
      'topologyconfig',
      'config',
      `harikube.info/abandon-data=${value}`,
    ];
    expect(await kubectl.refuse(annotate('other'))).toContain('"other" holds 2 keys, to give them up write other=2');
    expect(await kubectl.succeed(annotate('other=2'))).toContain(
      'Warning: "other" holds 2 keys, given up as soon as the operator sees this',
    );
    await eventually(
      () => kubectl.run(['get', 'topologyconfig', 'config']),
      ({ err }) => err.includes('NotFound'),
    );
    expect(await kubectl.succeed(['get', 'secrets', '-n', 'other'])).toContain('No resources found');
  });
});
