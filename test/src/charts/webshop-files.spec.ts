import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { admissionWebhookManifests } from '@harikube/admission-webhook';
import { apiServerManifests } from '@harikube/api-server';
import { emailFunctionManifests } from '@harikube/email-function';
import { KUBERNETES_VERSION, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { registrationControllerManifests } from '@harikube/registration-controller';
import { tenantControllerManifests } from '@harikube/tenant-controller';
import { userControllerManifests } from '@harikube/user-controller';
import { parseAllDocuments } from 'yaml';
import { runProgram } from '../run-program.js';
import { CHARTS, chartFiles, unexplainedValues } from './chart-files.js';
import { findChartTools } from './chart-tools.js';

const CHART = join(CHARTS, 'webshop');
const NAMESPACE = 'shop';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly rules?: unknown;
  readonly webhooks?: readonly { readonly name: string }[];
  readonly spec?: object;
}

let tools: Awaited<ReturnType<typeof findChartTools>>;
let files: string[];

function values(file: string): string[] {
  return ['-f', join(CHART, 'ci', file)];
}

async function render(...flags: string[]): Promise<Manifest[]> {
  const text = await runProgram(tools.helm, [
    'template',
    'webshop',
    CHART,
    '--namespace',
    NAMESPACE,
    '--kube-version',
    KUBERNETES_VERSION,
    ...flags,
  ]);
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

beforeAll(async () => {
  tools = await findChartTools({ env: readEnv(), progress: silent });
  files = await readdir(join(CHART, 'ci'));
}, 600_000);

describe('the chart webshop', () => {
  it('has the schema and the table that its values make, and explains each value', async () => {
    for (const [path, text] of await chartFiles('webshop')) expect(await readFile(path, 'utf8')).toBe(text);
    expect(await unexplainedValues('webshop')).toEqual([]);
  });

  it('passes the linter with each file of values', async () => {
    for (const file of files) await runProgram(tools.helm, ['lint', '--strict', CHART, ...values(file)]);
  });

  it('refuses a value that it does not know, and a mode without what it needs', async () => {
    await expect(render('--set', 'apiServer.replica=3')).rejects.toThrow(/replica/);
    await expect(render('--set', 'tls.mode=self-signed')).rejects.toThrow(/mode/);
    await expect(render('--set', 'tls.mode=existingSecret')).rejects.toThrow(/tls\.existing\.apiServer is needed/);
  });

  it('puts every object into the namespace of the release, under names and labels of its own', async () => {
    for (const file of files) {
      for (const { kind, metadata } of await render(...values(file))) {
        if (metadata.namespace !== undefined && metadata.namespace !== 'kube-system')
          expect([kind, metadata.namespace]).toEqual([kind, NAMESPACE]);
        expect([kind, metadata.labels?.['app.kubernetes.io/instance']]).toEqual([kind, 'webshop']);
        expect([kind, metadata.labels?.['app.kubernetes.io/part-of']]).toEqual([kind, 'harikube']);
      }
    }
  });

  it('gives each account the rules that its program names, and nothing else', async () => {
    const rendered = await render();
    const rulesOf = (manifests: readonly Manifest[], kind: string, name: string): unknown =>
      manifests.find((each) => each.kind === kind && each.metadata.name === name)?.rules;
    const programs: Readonly<Record<string, readonly object[]>> = {
      'api-server': apiServerManifests({ namespace: NAMESPACE, caBundle: '' }),
      'admission-webhook': admissionWebhookManifests({ namespace: NAMESPACE, caBundle: '' }),
      'email-function': emailFunctionManifests({ namespace: NAMESPACE }),
      'registration-controller': registrationControllerManifests({ namespace: NAMESPACE }),
      'tenant-controller': tenantControllerManifests({ namespace: NAMESPACE }),
      'user-controller': userControllerManifests({ namespace: NAMESPACE }),
    };
    const shared = ['harikube-registration-controller-tenant', 'harikube-user-controller-tenant', 'webshop-user', 'webshop-registrar'];
    for (const [name, manifests] of Object.entries(programs)) {
      const own = manifests as readonly Manifest[];
      for (const kind of ['Role', 'ClusterRole'])
        expect([name, kind, rulesOf(rendered, kind, `webshop-${name}`)]).toEqual([name, kind, rulesOf(own, kind, `harikube-${name}`)]);
      for (const { metadata, rules } of own)
        if (shared.includes(metadata.name))
          expect([metadata.name, rulesOf(rendered, 'ClusterRole', metadata.name)]).toEqual([metadata.name, rules]);
    }
  });

  it('asks the webhook what the program of the webhook names', async () => {
    const rendered = await render();
    const expected = admissionWebhookManifests({ namespace: NAMESPACE, caBundle: '' }) as readonly Manifest[];
    for (const kind of ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration']) {
      const webhooksOf = (manifests: readonly Manifest[]): unknown =>
        manifests
          .filter((each) => each.kind === kind)
          .flatMap((each) => each.webhooks ?? [])
          .map((each) => ({ ...each, clientConfig: { ...clientOf(each), caBundle: undefined } }));
      expect(webhooksOf(rendered)).toEqual(webhooksOf(expected));
    }
    function clientOf(webhook: object): object {
      const { service } = (webhook as { readonly clientConfig: { readonly service: object } }).clientConfig;
      return { service: { ...service, name: '' } };
    }
  });
});
