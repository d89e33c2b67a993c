import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Binaries, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { parseAllDocuments } from 'yaml';
import { Helm, renderedObjects } from '../charts/data-layer-cluster.js';
import { RunningCluster } from '../e2e/running-cluster.js';
import { CommandCheck } from './command-check.js';
import { CRD_PAGES, crdPages } from './crd-pages.js';
import { anchors, codeCells, codeSpans, fencedBlocks, links, tableRows } from './markdown.js';
import { shellCommands } from './shell-commands.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SECURITY = 'docs/security.md';
/** Blocks that are pictures or texts; `apps/watch-trigger/src/signature.spec.ts` runs those of python and js. */
const NO_COMMANDS: ReadonlySet<string> = new Set(['', 'js', 'python']);

const HASH = '$argon2id$v=19$m=65536,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG6Kp2FbXVQ2w';
/** Pages whose words with dots are values of our charts. */
const ABOUT_CHARTS = ['install', 'upgrade', 'security', 'sizing', 'troubleshooting', 'demo'].map((name) => `docs/${name}.md`);

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
}

let pages: Map<string, string>;
let scratch: string;
let cluster: RunningCluster;
let commands: CommandCheck;

beforeAll(async () => {
  pages = await readPages();
  scratch = await mkdtemp(join(tmpdir(), 'harikube-docs-'));
  // kube-apiserver reads the policy of the documentation, or does not start.
  const policy = join(scratch, 'audit-policy.yaml');
  await writeFile(policy, fencedBlocks(pages.get(SECURITY) ?? '').find(({ language }) => language === 'yaml')?.text ?? '');
  cluster = await RunningCluster.start({
    name: 'docs',
    store: 'router',
    controllerManager: false,
    extraApiServerArgs: [`--audit-policy-file=${policy}`, `--audit-log-path=${join(scratch, 'audit.log')}`],
  });
  await cluster.installCrds();
  const { etcdctl } = await new Binaries({ env: readEnv(), progress: silent }).find(['etcdctl']);
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  commands = new CommandCheck({
    root: ROOT,
    scratch,
    kubectl: cluster.kubectl,
    helm: await Helm.find({ home: scratch }),
    etcdctl: etcdctl.path,
    scripts: new Set(Object.keys(scripts)),
  });
  const namespaces = new Set(
    [...pages.values()].flatMap((page) => [...page.matchAll(/(?:-n|--namespace|namespace:) ([a-z][a-z-]*)/g)].map(([, name]) => name)),
  );
  for (const name of namespaces) if (name !== 'default') await cluster.kubectl.run(['create', 'namespace', name ?? '']);
}, 300_000);

afterAll(async () => {
  await cluster?.stop();
  await rm(scratch, { recursive: true, force: true });
}, 60_000);

describe('documentation', () => {
  it('shows commands that run, or whose programs, flags and files exist', async () => {
    const problems: string[] = [];
    for (const [path, page] of pages) {
      for (const { language, text, line } of fencedBlocks(page)) {
        if (language !== 'sh') continue;
        for (const command of shellCommands(text))
          problems.push(...(await commands.problemsOf(command)).map((problem) => `${path}:${line + command.line - 1}: ${problem}`));
      }
    }
    expect(problems).toEqual([]);
    expect([...commands.ran].sort()).toEqual(
      expect.arrayContaining(['harikube', 'helm install', 'helm template', 'kubectl create', 'kubectl get']),
    );
  }, 300_000);

  it.each([
    ['kubectl get topologyconfigs -A --no-such-flag', 'no flag --no-such-flag'],
    ['kubectl gte topologyconfigs', 'kubectl gte does not exist'],
    ['kubectl get topologyconfig -A --field-selector spec.nothing=1', 'spec.nothing'],
    ['kubectl create registrationrequest jane --first-nam Jane', 'no flag --first-nam'],
    ['kubectl harikube topology explian users', 'does not exist'],
    ['npx harikube topology check --strict examples/topology.yaml', 'no flag --strict'],
    ['harikube rooter', 'harikube rooter does not exist'],
    ['harikube topology check examples/registration.yaml', 'ended with'],
    ['helm install harikube helm/harikube --set midleware.replicas=2', 'midleware'],
    ['helm upgrade harikube helm/harikube --no-such-flag', 'no flag --no-such-flag'],
    ['helm install harikube helm/harikub', 'helm/harikub does not exist'],
    ['docker compose -f docker/compos.yaml up', 'docker/compos.yaml does not exist'],
    ['etcdctl --no-such-flag get a', 'no flag --no-such-flag'],
    ['npm run no-such-script', 'no script "no-such-script"'],
    ['frobnicate', 'not known here'],
  ])('is judged by a check that refuses %s', async (text, problem) => {
    const [command = { words: [], line: 1 }] = shellCommands(text);
    expect((await commands.problemsOf(command)).join()).toContain(problem);
  });

  it('shows objects that the API accepts', async () => {
    const problems: string[] = [];
    for (const [path, page] of pages) {
      for (const { language, text, line } of fencedBlocks(page)) {
        if (language !== 'yaml') continue;
        problems.push(...(await yamlProblems(text)).map((problem) => `${path}:${line}: ${problem}`));
      }
    }
    expect(problems).toEqual([]);
  }, 60_000);

  it('has no block of a language that nothing here checks', () => {
    const unknown = [...pages].flatMap(([path, page]) =>
      fencedBlocks(page)
        .filter(({ language }) => language !== 'sh' && language !== 'yaml' && !NO_COMMANDS.has(language))
        .map(({ language, line }) => `${path}:${line}: ${language}`),
    );
    expect(unknown).toEqual([]);
  });

  it('shows registrations with a spec that the stored kind takes', async () => {
    const inputs = [...pages.values()]
      .flatMap(fencedBlocks)
      .filter(({ language }) => language === 'sh')
      .flatMap(({ text }) => shellCommands(text).flatMap(({ input }) => input ?? []));
    const texts = [...inputs, await readFile(join(ROOT, 'examples/registration.yaml'), 'utf8')];
    const registrations = texts.flatMap(renderedObjects).filter(({ kind }) => kind === 'Registration');
    expect(registrations.length).toBeGreaterThan(1);
    for (const { spec } of registrations)
      await cluster.kubectl.succeed(['create', '--dry-run=server', '--validate=strict', '-f', '-'], {
        apiVersion: 'product.webshop.harikube.info/v1',
        kind: 'RegistrationRequest',
        metadata: { name: 'as-shown' },
        // What the admission webhook makes of any password.
        spec: { ...(spec as object), password: HASH },
      });
  });

  it('has files that are YAML', async () => {
    const names = ['docs', 'helm/harikube/examples', 'examples'].map(async (folder) =>
      (await readdir(join(ROOT, folder))).filter((name) => name.endsWith('.yaml')).map((name) => join(folder, name)),
    );
    for (const path of (await Promise.all(names)).flat())
      expect([path, parseAllDocuments(await readFile(join(ROOT, path), 'utf8')).flatMap(({ errors }) => errors)]).toEqual([path, []]);
  });

  it('has links that lead somewhere', async () => {
    const problems: string[] = [];
    for (const [path, page] of pages) {
      for (const { target, line } of links(page)) {
        if (/^https?:/.test(target)) continue;
        const [file = '', anchor = ''] = target.split('#');
        const place = file === '' ? path : relative(ROOT, join(ROOT, dirname(path), file));
        const isThere = (await stat(join(ROOT, place)).catch(() => null)) !== null;
        if (!isThere) problems.push(`${path}:${line}: ${target} does not exist`);
        else if (anchor !== '' && !anchors(await readFile(join(ROOT, place), 'utf8')).includes(anchor))
          problems.push(`${path}:${line}: ${place} has no heading #${anchor}`);
      }
    }
    expect(problems).toEqual([]);
  });

  it('lists every page in its index', () => {
    const listed = links(pages.get('docs/README.md') ?? '').map(({ target }) => join('docs', target));
    const unlisted = [...pages.keys()].filter(
      (path) => /^docs\/[^/]+\.md$/.test(path) && path !== 'docs/README.md' && !listed.includes(path),
    );
    expect(unlisted).toEqual([]);
  });

  it('names values that the charts have', async () => {
    const schemas = await Promise.all(
      ['harikube', 'webshop'].map(
        async (chart) => JSON.parse(await readFile(join(ROOT, 'helm', chart, 'values.schema.json'), 'utf8')) as Schema,
      ),
    );
    const isTop = (name = ''): boolean => name !== 'global' && schemas.some(({ properties }) => properties?.[name] !== undefined);
    const named = ABOUT_CHARTS.flatMap((path) =>
      codeSpans(pages.get(path) ?? '').map(({ target, line }) => ({ path, target, line })),
    ).filter(({ target }) => /^\w+(?:\.[\w*]+)+$/.test(target) && !/\.(?:crt|key)$/.test(target) && isTop(target.split('.')[0]));
    expect(named.length).toBeGreaterThan(10);
    const unknown = named.filter(({ target }) => !schemas.some((schema) => hasValue(schema, target.split('.'))));
    expect(unknown).toEqual([]);
  });

  it('repeats figures as they were measured', () => {
    const measured = new Set(
      (pages.get('docs/measurements.md') ?? '').match(/\d+(?: \d{3})*(?:\.\d+)?/g)?.map((each) => each.replaceAll(' ', '')),
    );
    const figures = ['docs/sizing.md', 'docs/comparison.md'].flatMap((path) =>
      tableRows(pages.get(path) ?? '').flatMap(({ cells: [, ...cells], line }) =>
        cells.every((cell) => /^[\d ]+(?: MB)?$/.test(cell))
          ? cells.map((cell) => ({ path, line, figure: cell.replaceAll(/\D/g, '') }))
          : [],
      ),
    );
    expect(figures.length).toBeGreaterThan(20);
    expect(figures.filter(({ figure }) => !measured.has(figure))).toEqual([]);
  });

  it('explains messages that the programs say', async () => {
    const sources = await sourceText();
    const strange = codeCells(pages.get('docs/troubleshooting.md') ?? '').flatMap(({ target, line }) => {
      const parts = target
        // As kube-apiserver's client knows it for one of etcd.
        .replace(/^etcdserver: /, '')
        .split('…')
        .map((part) => part.trim())
        .filter((part) => part.length > 3);
      return parts.length > 0 && parts.every((part) => sources.includes(part)) ? [] : [`docs/troubleshooting.md:${line}: ${target}`];
    });
    expect(strange).toEqual([]);
  });

  it('has a page for each kind, as its definition says (node test/dist/docs/crd-pages-program.js)', async () => {
    const expected = await crdPages();
    expect((await readdir(CRD_PAGES)).sort()).toEqual([...expected.keys()].map((path) => relative(CRD_PAGES, path)).sort());
    for (const [path, text] of expected) expect([path, await readFile(path, 'utf8')]).toEqual([path, text]);
  });
});

/** README, the pages of docs and those of the charts, by their path. */
async function readPages(): Promise<Map<string, string>> {
  const docs = (await readdir(join(ROOT, 'docs'), { recursive: true })).map((name) => join('docs', name));
  const charts = (await readdir(join(ROOT, 'helm'))).map((name) => join('helm', name, 'README.md'));
  const paths = ['README.md', ...docs.filter((path) => path.endsWith('.md')).sort(), ...charts];
  return new Map(await Promise.all(paths.map(async (path): Promise<[string, string]> => [path, await readFile(join(ROOT, path), 'utf8')])));
}

/** `*` stands for any; below an object whose keys are not listed everything is there. */
function hasValue({ properties }: Schema, [name, ...rest]: readonly string[]): boolean {
  if (name === undefined || name === '*' || properties === undefined) return true;
  const below = properties[name];
  return below !== undefined && hasValue(below, rest);
}

async function yamlProblems(text: string): Promise<string[]> {
  const broken = parseAllDocuments(text).flatMap(({ errors }) => errors.map(({ message }) => message));
  if (broken.length > 0) return broken;
  const problems: string[] = [];
  for (const object of renderedObjects(text)) {
    // The API server of this test runs with it.
    if (object.apiVersion === 'audit.k8s.io/v1') continue;
    const { code, err } = await cluster.kubectl.run(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], object);
    if (code !== 0) problems.push(err.trim());
  }
  return problems;
}

/** The sources of programs and charts; texts that are put together over several lines are one. */
async function sourceText(): Promise<string> {
  const texts: string[] = [];
  for (const folder of ['apps', 'libs', 'helm']) {
    const files = await readdir(join(ROOT, folder), { recursive: true });
    for (const path of files.filter(
      (name) => /(?:^|\/)(?:src|templates)\/.*(?<!\.spec)\.(?:ts|tpl|yaml)$/.test(name) && !name.includes('node_modules'),
    ))
      texts.push(await readFile(join(ROOT, folder, path), 'utf8'));
  }
  return texts.join('\n').replaceAll(/['`"] \+\s+['`"]/g, '');
}
