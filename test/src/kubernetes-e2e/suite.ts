import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { finished } from 'node:stream/promises';
import { runProgram } from '../run-program.js';
import type { Programs } from './programs.js';
import type { Spec } from './selection.js';

/** What ginkgo's JSON report says of one spec. */
interface SpecReport {
  readonly LeafNodeType: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly ContainerHierarchyLabels: readonly (readonly string[] | null)[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeLabels: readonly string[] | null;
  readonly State: string;
  readonly Failure?: { readonly Message?: string };
}

export interface Target {
  readonly kubeconfig: string;
  readonly kubectl: string;
}

/** What came out of specs that ran: null for a spec that passed, else the first line of why not, by its text. */
export type Outcomes = ReadonlyMap<string, string | null>;

/** How ginkgo calls the suite; it matches `--focus` against that and the spec's text. */
const SUITE = 'Kubernetes e2e';
const PROGRESS_MS = 30_000;

/** Every spec that is compiled in. */
export async function listSpecs({ specs }: Programs, folder: string): Promise<Spec[]> {
  const report = join(folder, 'list.json');
  const args = ['--provider=skeleton', '--kubeconfig=none', '--ginkgo.succinct', '--ginkgo.dry-run', '--ginkgo.focus=.'];
  await runProgram(specs, [...args, `--ginkgo.json-report=${report}`]);
  return (await readReport(report)).map((spec) => ({
    text: textOf(spec),
    labels: [...(spec.ContainerHierarchyLabels ?? []).flatMap((labels) => labels ?? []), ...(spec.LeafNodeLabels ?? [])],
  }));
}

export interface SuiteRun {
  /** Of its report and its output. */
  readonly name: string;
  readonly folder: string;
  readonly texts: readonly string[];
  /** How many specs run at once; most of them wait most of the time. */
  readonly parallel: number;
  readonly limitMinutes: number;
}

/** Runs the specs by their texts. One that did not come to run within the limit counts as failed. */
export async function runSuite(programs: Programs, target: Target, run: SuiteRun, note: (text: string) => void): Promise<Outcomes> {
  // ginkgo takes only programs of this name.
  const program = join(run.folder, `${run.name}.test`);
  await symlink(programs.specs, program);
  const focus = run.texts.map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|');
  const args = [
    ...[`--procs=${run.parallel}`, `--timeout=${run.limitMinutes}m`, '--no-color', '--succinct', `--focus=^${SUITE} (${focus})$`],
    ...[`--output-dir=${run.folder}`, `--json-report=${run.name}.json`, `--junit-report=${run.name}.xml`],
    ...[program, '--', '--provider=skeleton', `--kubeconfig=${target.kubeconfig}`, `--kubectl-path=${target.kubectl}`],
    // Neither ready nodes nor pods of the system are waited for.
    ...['--num-nodes=1', '--allowed-not-ready-nodes=-1', '--minStartupPods=-1', `--e2e-output-dir=${run.folder}`],
  ];
  const file = join(run.folder, `${run.name}.out`);
  await runGinkgo(programs.ginkgo, args, file, (done) => note(`${run.name}: ${done} of ${run.texts.length} specs`));
  const found = new Map<string, string | null>();
  for (const spec of await readReport(join(run.folder, `${run.name}.json`))) {
    const text = textOf(spec);
    if (spec.State === 'skipped' && spec.Failure?.Message === undefined) continue;
    found.set(text, spec.State === 'passed' ? null : (firstLine(spec.Failure?.Message) ?? spec.State));
  }
  return new Map(run.texts.map((text) => [text, found.has(text) ? (found.get(text) ?? null) : 'did not run within the time limit']));
}

async function runGinkgo(program: string, args: readonly string[], file: string, progress: (done: number) => void): Promise<void> {
  // A group of its own, so that its processes end with this one.
  const child = spawn('nice', ['-n', '5', program, ...args], { cwd: dirname(file), stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const kill = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  process.once('exit', kill);
  const output = createWriteStream(file);
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  let done = 0;
  // The succinct reporter writes a bullet for each spec that has run.
  child.stdout.setEncoding('utf8').on('data', (text: string) => (done += text.split('•').length - 1));
  const timer = setInterval(() => progress(done), PROGRESS_MS);
  try {
    // Its exit code says that a spec failed; so does the report.
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => resolve());
    });
  } finally {
    clearInterval(timer);
    process.removeListener('exit', kill);
    output.end();
    await finished(output);
  }
}

async function readReport(file: string): Promise<SpecReport[]> {
  const [report] = JSON.parse(await readFile(file, 'utf8')) as { readonly SpecReports: readonly SpecReport[] }[];
  return (report?.SpecReports ?? []).filter(({ LeafNodeType }) => LeafNodeType === 'It');
}

function textOf({ ContainerHierarchyTexts, LeafNodeText }: SpecReport): string {
  return [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(' ');
}

function firstLine(text: string | undefined): string | undefined {
  return text?.split('\n').find((line) => line.trim() !== '');
}
