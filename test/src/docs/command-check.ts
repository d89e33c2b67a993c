/**
 * What is wrong with a command that the documentation shows. Commands that can be run here in a moment are run; of the rest it is checked that
 * program, subcommand, flags and files exist. A program that nobody listed here is refused.
 */
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KUBERNETES_VERSION } from '@harikube/local-cluster';
import { type Answer, answerOf } from '../e2e/answer.js';
import type { Kubectl } from '../e2e/kubectl.js';
import type { Helm } from '../charts/data-layer-cluster.js';
import type { ShellCommand } from './shell-commands.js';

/** Programs that are not on the machines where tests run: only the files that their arguments name are looked for. */
const NOT_HERE: ReadonlySet<string> = new Set(['docker', 'kind', 'vcluster', 'kubeadm', 'k3s', 'faas-cli']);
/** Of the shell and of every machine. */
const COMMON: ReadonlySet<string> = new Set(['base64', 'cd', 'cp', 'curl', 'export', 'for', 'jq', 'mkdir', 'printf']);
/** Folders of the repository that documentation names. */
const OWN_PATH = /^(?:\.\/)?((?:apps|docker|docs|examples|helm|libs|scripts|test)\/[^\s$*]*)$/;
/** Subcommands that are groups of others. */
const GROUPS: ReadonlySet<string> = new Set(['create', 'rollout', 'config', 'certificate', 'auth']);
/** What kubectl makes in its dry run here; the rest of `create` needs what is not there. */
const MADE: ReadonlySet<string> = new Set(['secret', 'clusterrolebinding', 'rolebinding']);

export interface CommandCheckOptions {
  /** The root of the repository. */
  readonly root: string;
  /** For files that a command reads and the reader has. */
  readonly scratch: string;
  readonly kubectl: Kubectl;
  readonly helm: Helm;
  readonly etcdctl: string;
  /** Names of the scripts in package.json. */
  readonly scripts: ReadonlySet<string>;
}

export class CommandCheck {
  readonly #helps = new Map<string, Promise<string>>();
  /** Programs that ran for real, with their first words. */
  readonly ran = new Set<string>();

  constructor(private readonly options: CommandCheckOptions) {}

  /** Sentences; empty: the command is right. */
  async problemsOf(command: ShellCommand): Promise<string[]> {
    const words = command.words.filter((word, index) => index > 0 || !/^\w+=/.test(word));
    const [program = '', ...args] = words;
    const files = await this.#absentFiles(words);
    return [...files, ...(await this.#programProblems(program, args, command))];
  }

  async #programProblems(program: string, args: readonly string[], command: ShellCommand): Promise<string[]> {
    if (NOT_HERE.has(program) || COMMON.has(program)) return [];
    switch (program) {
      case 'npx':
        return args[0] === 'harikube' ? this.#harikube(args.slice(1)) : [`npx ${args[0] ?? ''} is not known here`];
      case 'harikube':
        return this.#harikube(args);
      case 'npm':
        return this.#npm(args);
      case 'helm':
        return this.#helm(args);
      case 'kubectl':
        return this.#kubectl(args, command.input);
      case 'etcdctl':
        return this.#etcdctl(args);
      default:
        return [`the program "${program}" is not known here: check its commands, or list it as one that is not here`];
    }
  }

  async #absentFiles(words: readonly string[]): Promise<string[]> {
    const paths = words.flatMap((word) => OWN_PATH.exec(word.replace(/^--?[\w-]+=/, ''))?.[1] ?? []);
    const found = await Promise.all(paths.map(async (path) => [path, await exists(join(this.options.root, path))] as const));
    return found.filter(([, isThere]) => !isThere).map(([path]) => `${path} does not exist`);
  }

  #npm(args: readonly string[]): Promise<string[]> {
    const script = args[0] === 'run' ? args[1] : args[0];
    if (script === undefined || !this.options.scripts.has(script)) return Promise.resolve([`package.json has no script "${script ?? ''}"`]);
    const dashes = args.indexOf('--');
    return script === 'up' && dashes > 0 ? this.#harikube(['up', ...args.slice(dashes + 1)]) : Promise.resolve([]);
  }

  async #harikube(args: readonly string[]): Promise<string[]> {
    const cli = join(this.options.root, 'apps/cli/bin/harikube.js');
    const [first = '', second = ''] = args;
    const path = first === 'topology' ? [first, second] : [first];
    const problems = await this.#unknownFlags('harikube', cli, path, args);
    if (problems.length > 0) return problems;
    if (first !== 'topology' || (second !== 'check' && second !== 'explain') || args.includes('--admin-url')) return [];
    // No router runs here: the file that it would have is asked.
    const more = second === 'explain' && !args.includes('--topology') ? ['--topology', 'examples/topology.yaml'] : [];
    return this.#run('harikube', process.execPath, [cli, ...args, ...more]);
  }

  async #helm(args: readonly string[]): Promise<string[]> {
    const [verb = ''] = args;
    const help = await this.#help('helm', () => this.options.helm.run([verb, '--help']), verb);
    const problems = flagsOf(args).filter((flag) => !hasFlag(help, flag));
    if (problems.length > 0) return problems.map((flag) => `helm ${verb} has no flag ${flag}`);
    const [, release = '', chart = ''] = args.filter((word, index) => !word.startsWith('-') && !isValue(args, index));
    const place = verb === 'lint' ? release : chart;
    if (!['install', 'upgrade', 'template', 'lint'].includes(verb) || OWN_PATH.exec(place) === null) return [];
    const values = args.flatMap((word, index) =>
      ['--set', '--values', '--namespace'].includes(word) ? [word, this.#own(args[index + 1])] : [],
    );
    const target = join(this.options.root, place);
    const rendered = verb === 'lint' ? ['lint', '--strict', target] : ['template', release, target];
    const { code, out, err } = await this.options.helm.run([...rendered, '--kube-version', KUBERNETES_VERSION, ...values]);
    this.ran.add(`helm ${verb}`);
    return code === 0 ? [] : [`helm ${args.join(' ')}: ${out}${err}`];
  }

  async #kubectl(args: readonly string[], input: string | undefined): Promise<string[]> {
    const words = args.filter((word, index) => !word.startsWith('-') && !isValue(args, index));
    const [verb = '', noun = ''] = words;
    if (verb === 'harikube') return this.#unknownFlags('kubectl harikube', this.#plugin('harikube'), words.slice(1, 3), args);
    if (verb === 'create' && noun === 'registrationrequest')
      return this.#unknownFlags('kubectl create registrationrequest', this.#plugin('create-registrationrequest'), [], args);
    const path = GROUPS.has(verb) && noun !== '' ? words.slice(0, verb === 'create' && noun === 'secret' ? 3 : 2) : [verb];
    const { kubectl } = this.options;
    const help = await this.#help('kubectl', () => kubectl.run([...path, '--help']), ...path);
    const all = `${help}\n${await this.#help('kubectl', () => kubectl.run(['options']), 'options')}`;
    const unknown = flagsOf(args).filter((flag) => !hasFlag(all, flag));
    if (!help.includes('Usage:')) return [`kubectl ${path.join(' ')} does not exist`];
    if (unknown.length > 0) return unknown.map((flag) => `kubectl ${path.join(' ')} has no flag ${flag}`);
    const ready = await this.#runnable(verb, noun, args);
    if (ready === null) return [];
    this.ran.add(`kubectl ${verb}`);
    const { code, err } = await kubectl.run(ready, input);
    return code === 0 ? [] : [`kubectl ${args.join(' ')}: ${err.trim()}`];
  }

  /** The same as far as it can be done to an API in which nothing but our kinds is; null: it cannot. */
  async #runnable(verb: string, noun: string, args: readonly string[]): Promise<string[] | null> {
    if (args.some((word) => word.includes('$'))) return null;
    const isOfAll = args.includes('-A') || (verb === 'wait' && noun === 'crd');
    if ((verb === 'get' || verb === 'wait') && isOfAll) return [...args];
    if (verb === 'apply' && !args.includes('-')) return [...args.map((word) => this.#own(word)), '--dry-run=server'];
    if (verb !== 'create' || !MADE.has(noun)) return null;
    const own: string[] = [];
    for (const word of args) {
      const [, flag = '', file = ''] = /^(--from-file=(?:[\w.-]+=)?)([\w.-]+)$/.exec(word) ?? [];
      // Only its owner has it.
      if (file !== '') await writeFile(join(this.options.scratch, file), 'text');
      own.push(file === '' ? word : `${flag}${join(this.options.scratch, file)}`);
    }
    return [...own, '--dry-run=server'];
  }

  async #etcdctl(args: readonly string[]): Promise<string[]> {
    const path = args.filter((word, index) => !word.startsWith('-') && !isValue(args, index));
    const help = await this.#help('etcdctl', () => answerOf(this.options.etcdctl, [...path, '--help'], { env: {} }), ...path);
    return flagsOf(args)
      .filter((flag) => !hasFlag(help, flag))
      .map((flag) => `etcdctl ${path.join(' ')} has no flag ${flag}`);
  }

  async #unknownFlags(name: string, file: string, path: readonly string[], args: readonly string[]): Promise<string[]> {
    const help = await this.#help(name, () => answerOf(process.execPath, [file, ...path, '--help'], { env: {} }), ...path);
    const title = [name, ...path].join(' ');
    if (!new RegExp(String.raw`(?:Usage: |^)${title}\b`).test(help)) return [`${title} does not exist`];
    return flagsOf(args)
      .filter((flag) => !hasFlag(help, flag))
      .map((flag) => `${title} has no flag ${flag}`);
  }

  #plugin(name: string): string {
    return join(this.options.root, `apps/cli/bin/kubectl-${name}.js`);
  }

  /** A path of the repository as this process reads it. */
  #own(word = ''): string {
    return OWN_PATH.test(word) ? join(this.options.root, word) : word;
  }

  async #run(name: string, program: string, args: readonly string[]): Promise<string[]> {
    const own = args.map((word) => this.#own(word));
    const { code, out, err } = await answerOf(program, own, { env: {} });
    this.ran.add(name);
    return code === 0 ? [] : [`${name} ${args.slice(1).join(' ')} ended with ${code}: ${out}${err}`];
  }

  #help(program: string, ask: () => Promise<Answer>, ...path: readonly string[]): Promise<string> {
    const key = [program, ...path].join(' ');
    const known = this.#helps.get(key) ?? ask().then(({ out, err }) => out + err);
    this.#helps.set(key, known);
    return known;
  }
}

function flagsOf(args: readonly string[]): string[] {
  return args.filter((word) => /^--?[a-zA-Z]/.test(word)).map((word) => word.replace(/=.*$/s, ''));
}

/** Whether a word is what the flag before it takes. */
function isValue(args: readonly string[], index: number): boolean {
  const before = args[index - 1] ?? '';
  return /^(?:-[nflocp]|--(?:namespace|set|values|timeout|values|cacert|cert|key|endpoints|type|patch|kubeconfig|topology|endpoint|from-file))$/.test(
    before,
  );
}

function hasFlag(help: string, flag: string): boolean {
  return flag === '--help' || flag === '-h' || new RegExp(String.raw`(?:^|[\s,])${flag}(?![\w-])`, 'm').test(help);
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
