/** What the tests of the data layer's charts share: helm, values files, and the schemas of other projects' kinds. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { KUBERNETES_VERSION, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { parseAllDocuments } from 'yaml';
import { type Answer, answerOf } from '../e2e/answer.js';
import { runProgram } from '../run-program.js';
import { CHARTS } from './chart-files.js';
import { findChartTools } from './chart-tools.js';

export const DATA_LAYER = join(CHARTS, 'harikube');
export const DEFINITIONS = join(CHARTS, 'harikube-crds');
export const WEBSHOP = join(CHARTS, 'webshop');

/** Versions whose kinds the charts write. */
const FOREIGN_DEFINITIONS = [
  { module: 'github.com/cert-manager/cert-manager@v1.16.3', folder: 'deploy/crds' },
  { module: 'github.com/prometheus-operator/prometheus-operator@v0.77.1', folder: 'example/prometheus-operator-crd' },
];

/** As helm and others see it in the tests. */
export interface RenderedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export class Helm {
  private constructor(
    private readonly program: string,
    private readonly variables: Readonly<Record<string, string>>,
  ) {}

  /** `kubeconfig` absent: for what needs no cluster. */
  static async find({ kubeconfig, home }: { readonly kubeconfig?: string; readonly home: string }): Promise<Helm> {
    const { helm } = await findChartTools({ env: readEnv(), progress: silent });
    return new Helm(helm, { HOME: home, ...(kubeconfig === undefined ? {} : { KUBECONFIG: kubeconfig }) });
  }

  run(args: readonly string[], input?: string): Promise<Answer> {
    return answerOf(this.program, args, { env: { ...readEnv(), ...this.variables }, input });
  }

  /** What it writes to stdout; rejects with what it says when it fails. How long it may wait is for its own `--timeout` to say. */
  async succeed(args: readonly string[]): Promise<string> {
    return await runProgram(this.program, args, { env: { ...readEnv(), ...this.variables } });
  }

  /** What it says; rejects when it succeeds. */
  async refuse(args: readonly string[], input?: string): Promise<string> {
    const { code, out, err } = await this.run(args, input);
    if (code === 0) throw new Error(`helm ${args.join(' ')} was not refused`);
    return out + err;
  }

  /** The text of all objects, hooks too, as a cluster with the Prometheus operator gets it. */
  template(chart: string, { values, release = 'harikube', namespace = 'harikube', more = [] }: TemplateOptions): Promise<string> {
    const files = values === undefined ? [] : ['--values', values];
    const cluster = ['--kube-version', KUBERNETES_VERSION, '--api-versions', 'monitoring.coreos.com/v1'];
    return this.succeed(['template', release, chart, '--namespace', namespace, ...cluster, ...files, ...more]);
  }
}

interface TemplateOptions {
  readonly values?: string;
  readonly release?: string;
  readonly namespace?: string;
  readonly more?: readonly string[];
}

export async function valuesFiles(chart: string): Promise<string[]> {
  const folder = join(chart, 'ci');
  return (await readdir(folder)).sort().map((name) => join(folder, name));
}

export function renderedObjects(text: string): RenderedObject[] {
  return [...parseAllDocuments(text)].flatMap((document) => {
    const object = document.toJS() as RenderedObject | null;
    return object === null ? [] : [object];
  });
}

/** Fetches cert-manager's and the Prometheus operator's CustomResourceDefinitions into a folder, without what their own charts put around them. */
export async function foreignDefinitions(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const { module, folder: inside } of FOREIGN_DEFINITIONS) {
    const answer = JSON.parse(await runProgram('go', ['mod', 'download', '-json', module], { cwd: folder })) as { Dir: string };
    for (const name of (await readdir(join(answer.Dir, inside))).filter((each) => each.endsWith('.yaml'))) {
      const [definition] = renderedObjects(await readFile(join(answer.Dir, inside, name), 'utf8'));
      if (definition === undefined) continue;
      const { name: own } = definition.metadata;
      const file = join(folder, basename(name, '.yaml') + '.json');
      await writeFile(file, JSON.stringify({ ...definition, metadata: { name: own } }));
      files.push(file);
    }
  }
  return files;
}

interface Definition {
  readonly $ref?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, Definition>>;
  readonly items?: Definition;
  readonly additionalProperties?: Definition | boolean;
  readonly 'x-kubernetes-group-version-kind'?: readonly { readonly group: string; readonly version: string; readonly kind: string }[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
}

/**
 * Writes what an API server says of kinds (OpenAPI v2) as schemas for kubeconform, strict below every object whose fields are known; returns where
 * they are, as kubeconform takes it. `kinds` are as in `Deployment`.
 */
export async function writeSchemas(openApi: string, kinds: ReadonlySet<string>, folder: string): Promise<string> {
  const { definitions } = JSON.parse(openApi) as { definitions: Readonly<Record<string, Definition>> };
  for (const [name, definition] of Object.entries(definitions)) {
    for (const { group, version, kind } of definition['x-kubernetes-group-version-kind'] ?? []) {
      if (!kinds.has(kind)) continue;
      const place = [kind.toLowerCase(), ...(group === '' ? [] : [group.split('.')[0]]), version].join('-');
      const needed = new Map<string, unknown>();
      collect(name, definitions, needed);
      const schema = { $ref: `#/definitions/${name}`, definitions: Object.fromEntries(needed) };
      await writeFile(join(folder, `${place}.json`), JSON.stringify(schema));
    }
  }
  return join(folder, '{{ .ResourceKind }}{{ .KindSuffix }}.json');
}

/** A definition and all that it refers to. */
function collect(name: string, definitions: Readonly<Record<string, Definition>>, into: Map<string, unknown>): void {
  const definition = definitions[name];
  if (definition === undefined || into.has(name)) return;
  const strict = strictly(definition);
  into.set(name, strict);
  for (const [, other = ''] of JSON.stringify(strict).matchAll(/"#\/definitions\/([^"]+)"/g)) collect(other, definitions, into);
}

function strictly(definition: Definition): unknown {
  if (definition.format === 'int-or-string' || definition['x-kubernetes-int-or-string'] === true)
    return { anyOf: [{ type: 'integer' }, { type: 'string' }] };
  const { properties, items, additionalProperties, ...rest } = definition;
  const isOpen = definition['x-kubernetes-preserve-unknown-fields'] === true;
  return {
    ...rest,
    ...(items === undefined ? {} : { items: strictly(items) }),
    ...(typeof additionalProperties === 'object' ? { additionalProperties: strictly(additionalProperties) } : {}),
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(Object.entries(properties).map(([key, property]) => [key, strictly(property)])),
          ...(isOpen ? {} : { additionalProperties: false }),
        }),
  };
}
