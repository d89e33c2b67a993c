import { spawn } from 'node:child_process';
import { ReadStream } from 'node:tty';
import { openSync } from 'node:fs';
import { SetupError } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { Command, Option } from 'commander';
import { completionText, FILES } from './kubectl-completion.js';

/**
 * The kubectl plugin `kubectl create registrationrequest`: it makes the object and lets kubectl itself create it, so that kubeconfigs,
 * contexts, impersonation, output formats and the way errors are shown are kubectl's own.
 */

export interface RegistrationFlags {
  readonly firstName: string;
  readonly lastName: string;
  readonly email: string;
  readonly phoneNumber: string;
  readonly company?: string;
  readonly country: string;
  readonly city: string;
  readonly address: string;
  readonly postalCode: string;
  readonly taxNumber?: string;
}

/** kubectl's flags that are handed on as they are; those of `null` take no value. */
const KUBECTL_FLAGS: readonly (readonly [flag: string, value: string | null, help: string])[] = [
  ['-o, --output', 'format', 'json, yaml, name, go-template, jsonpath or another format of kubectl'],
  ['--template', 'text', 'template of -o go-template or jsonpath-file'],
  ['--show-managed-fields', null, 'keep managedFields in JSON and YAML'],
  ['--field-manager', 'name', 'who is named as the manager of the fields'],
  ['--validate', 'mode', 'strict, warn or ignore (the default here): what happens with unknown fields'],
  ['--kubeconfig', 'file', 'the kubeconfig to use'],
  ['--context', 'name', 'the context of the kubeconfig'],
  ['--cluster', 'name', 'the cluster of the kubeconfig'],
  ['--user', 'name', 'the user of the kubeconfig'],
  ['-s, --server', 'url', 'the address of the API server'],
  ['--tls-server-name', 'name', 'the name that the server certificate is checked for'],
  ['--certificate-authority', 'file', 'the authority that the server certificate is checked with'],
  ['--insecure-skip-tls-verify', null, 'do not check the server certificate'],
  ['--client-certificate', 'file', 'the client certificate'],
  ['--client-key', 'file', 'the key of the client certificate'],
  ['--token', 'token', 'the bearer token'],
  ['--as', 'user', 'act as another user'],
  ['--as-group', 'group', 'act as a member of a group (may be repeated)'],
  ['--as-uid', 'uid', 'act with a UID'],
  ['--request-timeout', 'duration', 'how long to wait for the answer'],
  ['-n, --namespace', 'name', 'accepted as kubectl does; a registration belongs to no namespace'],
  ['--cache-dir', 'folder', 'where kubectl keeps its cache'],
  ['-v, --v', 'level', "kubectl's log level"],
];

/** Without these there is no registration; they are checked together, so that one attempt names them all. */
const REQUIRED = ['--first-name', '--last-name', '--email', '--phone-number', '--country', '--city', '--address', '--postal-code'].map(
  (flag) => ({ flag, attributeName: new Option(flag).attributeName() }),
);

const DRY_RUNS = ['none', 'server', 'client'];

export function registrationCommand(): Command {
  const command = new Command('kubectl create registrationrequest')
    .description(
      'register a user with a tenant of his own, and wait for the result. The password is typed at a prompt, or piped in with --password-stdin',
    )
    .argument('<name>', 'name of the request')
    .option('--first-name <text>', 'first name')
    .option('--last-name <text>', 'last name')
    .option('--email <address>', 'e-mail address; each may be registered once')
    .option('--phone-number <number>', 'phone number, as +15551234567')
    .option('--company <text>', 'name of the company (default: first and last name)')
    .option('--country <code>', 'country of the company, as HU')
    .option('--city <text>', 'city of the company')
    .option('--address <text>', 'street and number')
    .option('--postal-code <text>', 'postal code')
    .option('--tax-number <text>', 'tax number')
    .option('--password-stdin', 'read the password from standard input', false)
    .addOption(new Option('--password <text>').hideHelp())
    .addOption(new Option('--dry-run <mode>', 'server: check everything and create nothing').choices(DRY_RUNS).default('none'))
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'error: kubectl create registrationrequest: ')) });
  for (const [flag, value, help] of KUBECTL_FLAGS) {
    const option = new Option(value === null ? flag : `${flag} <${value}>`, help);
    command.addOption(option.attributeName() === 'asGroup' ? option.argParser(collect) : option);
  }
  return command;
}

function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** Resolves to kubectl's exit code. Refuses with a `SetupError`; throws `CommanderError` for a command line that cannot be understood. */
export async function createRegistrationRequest(argv: readonly string[], env: Env): Promise<number> {
  const command = registrationCommand();
  command.parse([...argv], { from: 'user' });
  const flags = command.opts<RegistrationFlags & { passwordStdin: boolean; password?: string; dryRun: string }>();
  const missing = REQUIRED.filter((flag) => command.getOptionValue(flag.attributeName) === undefined).map(({ flag }) => flag);
  if (missing.length > 0) throw new SetupError(`${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} needed; see --help`);
  if (flags.password !== undefined)
    throw new SetupError(
      '--password would show the password to everybody on this machine: type it at the prompt or pipe it in with --password-stdin',
    );
  if (flags.dryRun === 'client') throw new SetupError('--dry-run=client would print the password and check nothing: use --dry-run=server');
  const password = flags.passwordStdin ? await readAll(process.stdin) : await askPassword();
  const [name = ''] = command.args;
  return await runKubectl(
    ['create', '-f', '-', `--dry-run=${flags.dryRun}`, ...kubectlArguments(command)],
    JSON.stringify(registration(name, flags, password)),
    env,
  );
}

/** The object that is sent. Fields that were not given are left out. */
export function registration(name: string, flags: RegistrationFlags, password: string): object {
  const { firstName, lastName, email, phoneNumber, company: companyName, country, city, address, postalCode, taxNumber } = flags;
  return {
    apiVersion: 'api.product.webshop.harikube.info/v1',
    kind: 'Registration',
    metadata: { name },
    spec: {
      user: { firstName, lastName, email, phoneNumber },
      password,
      tenant: { companyName, country, city, address, postalCode, taxNumber },
    },
  };
}

/** kubectl's own flags among those that were given, as kubectl takes them. */
export function kubectlArguments(command: Command): string[] {
  // To learn whether the server judges the fields of a kind that cannot be patched, kubectl lists all CustomResourceDefinitions, which those who
  // may register people may not. There is nothing to find: the fields are those of `registration`.
  const unasked = command.getOptionValue('validate') === undefined ? ['--validate=ignore'] : [];
  return unasked.concat(givenArguments(command));
}

function givenArguments(command: Command): string[] {
  return command.options.flatMap((option) => {
    const { long } = option;
    if (long === undefined || !KUBECTL_FLAGS.some(([flag]) => flag.endsWith(long))) return [];
    const value: unknown = command.getOptionValue(option.attributeName());
    if (value === true) return [long];
    return (Array.isArray(value) ? value : [value]).filter((one) => typeof one === 'string').map((one) => `${long}=${one}`);
  });
}

/** What a shell may offer, in the form that kubectl reads. */
export function completions(args: readonly string[]): string {
  const current = args.at(-1) ?? '';
  const before = args.at(-2) ?? '';
  const offered = (words: readonly (readonly [string, string])[], directive?: number): string => completionText(current, words, directive);
  if (before === '--dry-run')
    return offered([
      ['none', ''],
      ['server', ''],
    ]);
  if (before === '-o' || before === '--output')
    return offered(['json', 'yaml', 'name', 'wide', 'jsonpath=', 'go-template='].map((format) => [format, '']));
  if (['--kubeconfig', '--certificate-authority', '--client-certificate', '--client-key', '--cache-dir'].includes(before))
    return offered([], FILES);
  if (!current.startsWith('-')) return offered([]);
  return offered(
    registrationCommand()
      .options.filter(({ hidden }) => !hidden)
      .flatMap(({ long, description }) => (long === undefined ? [] : [[long, description] as const])),
  );
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  // The line end of `echo` and of a file is not part of it.
  const password = Buffer.concat(parts)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  if (password === '')
    throw new SetupError(
      '--password-stdin got an empty password: pipe it in, as in  printf %s "$PASSWORD" | kubectl create registrationrequest …',
    );
  return password;
}

async function askPassword(): Promise<string> {
  let terminal: ReadStream;
  try {
    terminal = new ReadStream(openSync('/dev/tty', 'r+'));
  } catch {
    throw new SetupError('there is no terminal to ask for the password on: pipe it in with --password-stdin');
  }
  try {
    const password = await askHidden(terminal, 'Password: ');
    if ((await askHidden(terminal, 'Password again: ')) !== password) throw new SetupError('the two passwords differ: nothing was sent');
    return password;
  } finally {
    terminal.destroy();
  }
}

/** One line, read without showing it. */
function askHidden(terminal: ReadStream, question: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const end = (): void => {
      terminal.setRawMode(false);
      terminal.pause();
      terminal.off('data', onData);
      process.stderr.write('\n');
    };
    const onData = (data: string): void => {
      for (const character of data) {
        if (character === '\r' || character === '\n') {
          end();
          resolve(text);
          return;
        }
        if (character === '\u0003' || character === '\u0004') {
          end();
          reject(new SetupError('no password was given: nothing was sent'));
          return;
        }
        text = character === '\u007f' || character === '\b' ? [...text].slice(0, -1).join('') : text + character;
      }
    };
    process.stderr.write(question);
    terminal.setEncoding('utf8');
    terminal.setRawMode(true);
    terminal.on('data', onData);
    terminal.resume();
  });
}

function runKubectl(args: readonly string[], input: string, env: Env): Promise<number> {
  // kubectl 1.37 and later tell their plugins where they are.
  const program = env['KUBECTL_PATH'] ?? 'kubectl';
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], { env, stdio: ['pipe', 'inherit', 'inherit'] });
    child.once('error', () => reject(new SetupError(`${program} cannot be started: put kubectl on PATH`)));
    child.once('close', (code, signal) => resolve(signal === null ? (code ?? 1) : 1));
    child.stdin.on('error', () => undefined); // It ended before it had read everything, and says why itself.
    child.stdin.end(input);
  });
}
