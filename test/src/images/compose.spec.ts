import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { parse } from 'yaml';
import { findChartTools } from '../charts/chart-tools.js';
import { answerOf } from '../e2e/answer.js';
import { runProgram } from '../run-program.js';
import { parseDockerfile } from './dockerfile.js';

const DOCKER = fileURLToPath(new URL('../../../docker/', import.meta.url));
/** Compose's own loader, which has the schema that it holds files against. */
const LOADER = 'github.com/compose-spec/compose-go/v2@v2.9.0';

interface Compose {
  readonly services: Readonly<Record<string, { readonly image: string; readonly build?: { readonly target: string } }>>;
}

let folder: string;
let compose: Compose;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'compose-'));
  compose = parse(await readFile(join(DOCKER, 'compose.yaml'), 'utf8')) as Compose;
  const { Dir: loader } = JSON.parse(await runProgram('go', ['mod', 'download', '-json', LOADER], { cwd: folder })) as { Dir: string };
  const schema = JSON.parse(await readFile(join(loader, 'schema', 'compose-spec.json'), 'utf8')) as { properties: object };
  // What kubeconform wants of every file, beside what the schema knows.
  const properties = { ...schema.properties, apiVersion: {}, kind: {} };
  await writeFile(join(folder, 'compose.json'), JSON.stringify({ ...schema, properties }));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function judge(file: object): Promise<string> {
  const { kubeconform } = await findChartTools({ env: readEnv(), progress: silent });
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'Compose', ...file });
  const args = ['-summary', '-schema-location', join(folder, '{{ .ResourceKind }}.json')];
  const { out, err } = await answerOf(kubeconform, args, { env: readEnv(), input });
  return out + err;
}

describe('docker/compose.yaml', () => {
  it('is of the schema of Compose', async () => {
    expect(await judge(compose)).toContain('Valid: 1, Invalid: 0, Errors: 0, Skipped: 0');
    const [name = ''] = Object.keys(compose.services);
    const wrong = { ...compose, services: { ...compose.services, [name]: { ...compose.services[name], imge: 'a' } } };
    expect(await judge(wrong)).toContain('Invalid: 1');
  });

  it('builds images of the Dockerfile, under the name that they have there and the version of this repository', async () => {
    const stages = parseDockerfile(await readFile(join(DOCKER, 'Dockerfile'), 'utf8'), {
      BUILDPLATFORM: 'linux/amd64',
      TARGETARCH: 'amd64',
    });
    const { version } = JSON.parse(await readFile(join(DOCKER, '..', 'package.json'), 'utf8')) as { version: string };
    const built = Object.values(compose.services).flatMap(({ image, build }) =>
      build === undefined ? [] : [{ image, target: build.target }],
    );
    expect(built).not.toEqual([]);
    for (const { image, target } of built) {
      const title = stages.find(({ name }) => name === target)?.config.labels['org.opencontainers.image.title'];
      expect(image).toBe(`${title}:${version}`);
    }
  });
});
