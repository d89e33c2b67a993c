import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { eventually } from '../e2e/eventually.js';
import { TcpProxy } from '../e2e/tcp-proxy.js';

const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));

/** A server that keeps every mail that it is sent, in a process of its own. */
export class MailCatcherProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly proxy: TcpProxy,
  ) {}

  /** Of the host that was asked for. */
  get port(): number {
    return this.proxy.port;
  }

  /** Takes mails at an address of this machine; they will be in `mails` below the folder. */
  static async start(folder: string, host: string): Promise<MailCatcherProcess> {
    const mails = join(folder, 'mails');
    await mkdir(mails, { recursive: true });
    const log = await open(join(folder, 'mail-catcher.log'), 'a');
    const port = await freePort();
    const page = `127.0.0.1:${await freePort()}`;
    const health = `127.0.0.1:${await freePort()}`;
    const args = [`--mail-folder=${mails}`, `--smtp-bind-address=127.0.0.1:${port}`, `--http-bind-address=${page}`];
    const child = spawn(process.execPath, [LAUNCHER, 'mail-catcher', ...args, `--health-probe-bind-address=${health}`], {
      env: { ...readEnv(), NODE_OPTIONS: '' },
      stdio: ['ignore', log.fd, log.fd],
    });
    await log.close();
    const catcher = new MailCatcherProcess(child, await TcpProxy.start(port, host));
    await eventually(
      () =>
        fetch(`http://${health}/readyz`).then(
          ({ status }) => status,
          () => 0,
        ),
      (status) => status === 200,
      60,
    );
    return catcher;
  }

  async stop(): Promise<void> {
    await this.proxy.close();
    if (this.child.exitCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await ended;
  }
}
