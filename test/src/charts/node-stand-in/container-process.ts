import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

export interface Mount {
  /** On this machine. */
  readonly source: string;
  readonly target: string;
  readonly isFile: boolean;
  readonly isReadOnly: boolean;
}

export interface ContainerProcessOptions {
  readonly networkNamespace: string;
  /** The root of the container's files is mounted there. */
  readonly root: string;
  readonly mounts: readonly Mount[];
  readonly isRootReadOnly: boolean;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingFolder: string;
  readonly user: number;
  readonly group: number;
  readonly groups: readonly number[];
  readonly dropsCapabilities: boolean;
  readonly mayGainPrivileges: boolean;
  readonly hostname: string;
  readonly logFile: string;
}

export interface ProcessEnd {
  readonly exitCode: number;
  readonly signal: number | null;
}

/** How long the container of a command may take to be made. */
const MADE_WITHIN_MS = 5000;
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom'];
/** Of this machine, beside /usr: what the container's programs are made of. */
const SYSTEM_FOLDERS = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/**
 * A command in namespaces of its own, as a container runtime starts it: it is process 1, sees its mounts and nothing else of this machine but
 * the programs below /usr, and is ended with all its children.
 */
export class ContainerProcess {
  readonly ended: Promise<ProcessEnd>;
  readonly startedAt = new Date();
  #hasEnded = false;
  #isKilled = false;

  private constructor(
    private readonly child: ChildProcess,
    private readonly options: ContainerProcessOptions,
  ) {
    const ended = Promise.withResolvers<ProcessEnd>();
    this.ended = ended.promise;
    child.once('error', (error) => ended.reject(error));
    child.once('exit', (code, signal) => {
      this.#hasEnded = true;
      // Some versions of `unshare` do not pass on that the process below was killed.
      const by = this.#isKilled ? 'SIGKILL' : signal;
      const number = by === null ? null : constants.signals[by];
      ended.resolve({ exitCode: number === null ? Number(code) : 128 + number, signal: number });
    });
  }

  static start(options: ContainerProcessOptions): ContainerProcess {
    mkdirSync(options.root, { recursive: true });
    const log = openSync(options.logFile, 'a');
    try {
      const flags = ['--mount', '--pid', '--uts', '--fork', '--kill-child', '--propagation', 'private'];
      const child = spawn(
        '/usr/bin/nsenter',
        [
          `--net=/run/netns/${options.networkNamespace}`,
          ...['unshare', ...flags, '--', 'sh', '-euc', mountScript(options), 'container'],
          ...identityCommand(options),
          ...options.command,
        ],
        { env: { ...options.environment }, stdio: ['ignore', log, log], cwd: '/' },
      );
      return new ContainerProcess(child, options);
    } finally {
      closeSync(log);
    }
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** To process 1 of the container, once that is its command; nothing happens when it has ended. */
  async signal(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    // What makes the container before hears no SIGTERM.
    const until = performance.now() + MADE_WITHIN_MS;
    let pid = await this.#firstProcess();
    while (pid !== null && signal === 'SIGTERM' && !this.#runsCommand(pid) && performance.now() < until) {
      await delay(10);
      pid = await this.#firstProcess();
    }
    if (pid === null) return;
    if (signal === 'SIGKILL') this.#isKilled = true;
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** Runs a command in the container; null: it did not end in time, and was killed. */
  async exec(command: readonly string[], timeoutMs: number): Promise<number | null> {
    const pid = await this.#firstProcess();
    if (pid === null) return null;
    const spaces = ['--mount', '--net', '--pid', '--uts', '--root', '--wd'];
    const child = spawn('/usr/bin/nsenter', ['--target', String(pid), ...spaces, '--', ...identityCommand(this.options), ...command], {
      env: { ...this.options.environment },
      stdio: 'ignore',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    return code;
  }

  #runsCommand(pid: number): boolean {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === this.options.command.map((word) => `${word}\0`).join('');
    } catch {
      return false;
    }
  }

  /** As this machine numbers it; null: there is none any more. */
  async #firstProcess(): Promise<number | null> {
    const { pid } = this.child;
    while (pid !== undefined && !this.#hasEnded) {
      const [first] = childrenOf(pid);
      if (first !== undefined) return first;
      await delay(10);
    }
    return null;
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
    return text === '' ? [] : text.split(/\s+/).map(Number);
  } catch {
    return [];
  }
}

function identityCommand(options: ContainerProcessOptions): string[] {
  const { user, group, groups, dropsCapabilities, mayGainPrivileges } = options;
  return [
    '/usr/bin/setpriv',
    `--reuid=${user}`,
    `--regid=${group}`,
    groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
    ...(dropsCapabilities ? ['--bounding-set=-all', '--inh-caps=-all'] : []),
    ...(mayGainPrivileges ? [] : ['--no-new-privs']),
    '--',
  ];
}

/** Makes the root of the container's files, enters it and becomes the command that follows. */
function mountScript({ root, mounts, isRootReadOnly, hostname, workingFolder }: ContainerProcessOptions): string {
  const at = (path: string): string => quoted(`${root}${path}`);
  const bind = (source: string, target: string, isReadOnly: boolean): string[] => [
    `mount --bind ${quoted(source)} ${at(target)}`,
    ...(isReadOnly ? [`mount -o remount,bind,ro ${at(target)}`] : []),
  ];
  return [
    `echo ${quoted(hostname)} > /proc/sys/kernel/hostname`,
    `mount -t tmpfs -o mode=0755 root ${quoted(root)}`,
    `mkdir -p ${['/usr', '/etc', '/dev/shm', '/proc', '/tmp', '/run', '/var'].map(at).join(' ')}`,
    `chmod 1777 ${at('/tmp')} ${at('/dev/shm')}`,
    ...bind('/usr', '/usr', true),
    ...SYSTEM_FOLDERS.flatMap((name) => [
      `if [ -L /${name} ]; then cp -P /${name} ${at(`/${name}`)}`,
      `elif [ -d /${name} ]; then mkdir ${at(`/${name}`)}; mount --bind /${name} ${at(`/${name}`)}; fi`,
    ]),
    ...DEVICES.flatMap((name) => [`touch ${at(`/dev/${name}`)}`, ...bind(`/dev/${name}`, `/dev/${name}`, false)]),
    `ln -s /proc/self/fd ${at('/dev/fd')}`,
    // Relative, since what is below it is mounted from outside of the new root.
    `ln -s ../run ${at('/var/run')}`,
    `touch ${at('/dev/termination-log')}`,
    `echo 'hosts: files' > ${at('/etc/nsswitch.conf')}`,
    // A name of several Pods has the addresses of all.
    `echo 'multi on' > ${at('/etc/host.conf')}`,
    `echo 'nonroot:x:65532:65532::/home/nonroot:/sbin/nologin' > ${at('/etc/passwd')}`,
    `if [ -d /etc/ssl ]; then mkdir ${at('/etc/ssl')}; mount --bind /etc/ssl ${at('/etc/ssl')}; fi`,
    `mount -t proc proc ${at('/proc')}`,
    ...mounts.flatMap(({ source, target, isFile, isReadOnly }) => [
      isFile ? `mkdir -p "$(dirname ${at(target)})"; touch ${at(target)}` : `mkdir -p ${at(target)}`,
      ...bind(source, target, isReadOnly),
    ]),
    ...(isRootReadOnly ? [`mount -o remount,ro ${quoted(root)}`] : []),
    `exec chroot ${quoted(root)} /bin/sh -euc 'cd "$1"; shift; exec "$@"' enter ${quoted(workingFolder)} "$@"`,
  ].join('\n');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
