import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { answerOf } from '../e2e/answer.js';
import { RunningCluster } from '../e2e/running-cluster.js';
import { findChartTools } from './chart-tools.js';
import {
  DATA_LAYER,
  DEFINITIONS,
  foreignDefinitions,
  Helm,
  renderedObjects,
  valuesFiles,
  WEBSHOP,
  writeSchemas,
} from './data-layer-cluster.js';

/** Of the releases, and those that values name. */
const NAMESPACES = ['harikube', 'webshop', 'shop', 'databases'];

let cluster: RunningCluster;
let helm: Helm;
/** Of each values file. */
const rendered = new Map<string, string>();

beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'charts-api', store: 'etcd', controllerManager: false });
  helm = await Helm.find({ kubeconfig: cluster.kubeconfigFile, home: cluster.folder });
  await cluster.installCrds();
  const foreign = join(cluster.folder, 'foreign');
  await mkdir(foreign);
  await cluster.kubectl.succeed(['create', '-f', (await foreignDefinitions(foreign)).join(',')]);
  await cluster.kubectl.established();
  for (const name of NAMESPACES) {
    const labels = Object.fromEntries(['enforce', 'warn'].map((level) => [`pod-security.kubernetes.io/${level}`, 'restricted']));
    await cluster.kubectl.succeed(['create', '-f', '-'], { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    await cluster.kubectl.succeed(['create', 'serviceaccount', 'default', '-n', name]);
  }
  const bundle = ['--set-file', `tls.existing.caBundle=${join(cluster.folder, 'pki', 'ca.crt')}`];
  for (const chart of [DATA_LAYER, DEFINITIONS, WEBSHOP])
    for (const values of await valuesFiles(chart)) {
      const isShop = chart === WEBSHOP;
      const release = isShop ? 'webshop' : 'harikube';
      const more = isShop && values.includes('existing') ? bundle : [];
      rendered.set(values, await helm.template(chart, { values, release, namespace: release, more }));
    }
}, 600_000);

afterAll(() => cluster?.stop());

async function kubeconform(text: string, schemas: string): Promise<string> {
  const { kubeconform: program } = await findChartTools({ env: readEnv(), progress: silent });
  const { out, err } = await answerOf(program, ['-strict', '-summary', '-schema-location', schemas], { env: readEnv(), input: text });
  return out + err;
}

describe('what the charts make', () => {
  it('is of the schemas that kube-apiserver tells, to the last field', async () => {
    const folder = join(cluster.folder, 'schemas');
    await mkdir(folder);
    const all = [...rendered.values()].join('\n---\n');
    const kinds = new Set(renderedObjects(all).map(({ kind }) => kind));
    expect([...kinds]).toEqual(expect.arrayContaining(['Certificate', 'ServiceMonitor', 'PodMonitor', 'NetworkPolicy', 'APIService']));
    const schemas = await writeSchemas(await cluster.kubectl.read(['get', '--raw', '/openapi/v2']), kinds, folder);
    expect(await kubeconform(all, schemas)).toMatch(/Invalid: 0, Errors: 0, Skipped: 0/);
    expect(await kubeconform('{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"dta":{}}', schemas)).toContain('Invalid: 1');
    const certificate = { apiVersion: 'cert-manager.io/v1', kind: 'Certificate', metadata: { name: 'a' }, spec: { secretNam: 'a' } };
    expect(await kubeconform(JSON.stringify(certificate), schemas)).toContain('Invalid: 1');
  }, 120_000);

  it('is accepted by kube-apiserver, without a warning, under the restricted Pod Security', async () => {
    // The Pod of `helm test` is refused where its account is not there.
    const accounts = [...rendered.values()]
      .flatMap(renderedObjects)
      .filter(({ kind, metadata }) => kind === 'ServiceAccount' && metadata.name.endsWith('-test'));
    await cluster.kubectl.succeed(['apply', '--server-side', '-f', '-'], { apiVersion: 'v1', kind: 'List', items: accounts });
    for (const [file, text] of rendered) {
      const path = join(cluster.folder, 'rendered.yaml');
      await writeFile(path, text);
      const { code, err } = await cluster.kubectl.run(['apply', '--server-side', '--force-conflicts', '--dry-run=server', '-f', path]);
      expect([basename(file), code, err]).toEqual([basename(file), 0, '']);
    }
  }, 120_000);

  it('comes with notes that show no secret', async () => {
    const said = await helm.succeed([
      'install',
      'notes',
      DATA_LAYER,
      '--namespace',
      'harikube',
      '--dry-run=server',
      '--set',
      'tls.mode=helm',
    ]);
    const notes = said.slice(said.indexOf('NOTES:'));
    expect(notes).toContain('harikube/notes-harikube-client');
    expect(notes).not.toMatch(/BEGIN|tls\.key:/);
  });
});
