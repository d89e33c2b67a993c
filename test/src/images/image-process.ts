import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { bind, type Image, lowerdir, quote } from './image-builder.js';

export interface ImageRun {
  readonly image: Image;
  /** In the place of the image's own command. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Folders of the machine by their place in the image: all that can be written to, beside /tmp. */
  readonly volumes?: Readonly<Record<string, string>>;
  /** Folder for what this run needs for itself. */
  readonly scratch: string;
}

/** A program in its image: on a root that cannot be written to, with the image's variables and nothing else, as the image's user. */
export class ImageProcess {
  /** Everything that it wrote. */
  output = '';
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;

  private constructor(private readonly child: ChildProcess) {
    child.stdout?.on('data', (chunk) => (this.output += String(chunk)));
    child.stderr?.on('data', (chunk) => (this.output += String(chunk)));
    const { promise, resolve, reject } = Promise.withResolvers<number | NodeJS.Signals>();
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? 1));
    this.ended = promise;
  }

  static async start({ image: { layers, config }, args, env = {}, volumes = {}, scratch }: ImageRun): Promise<ImageProcess> {
    const own = await mkdtemp(join(scratch, 'run-'));
    const [points, merged] = [join(own, 'points'), join(own, 'merged')];
    // A container engine makes the places of volumes; the root itself stays as it is.
    for (const target of Object.keys(volumes)) await mkdir(join(points, target), { recursive: true });
    for (const folder of [points, merged]) await mkdir(folder, { recursive: true });
    const command = [...config.entrypoint, ...(args ?? config.cmd)].map(quote).join(' ');
    const script = [
      'set -e',
      `M=${quote(merged)}`,
      `/bin/mount -t overlay overlay -o ${quote(`lowerdir=${lowerdir([...layers, points])}`)} "$M"`,
      '/bin/mount -t tmpfs -o mode=1777 tmpfs "$M"/tmp',
      ...['/proc', '/dev'].map((path) => `/bin/mount --rbind ${path} "$M"${path}`),
      ...Object.entries(volumes).flatMap(([target, source]) => bind(source, `"$M"${target}`)),
      `exec /usr/sbin/chroot --userspec=${config.user} "$M" ${command}`,
    ].join('\n');
    const child = spawn('unshare', ['--mount', '--propagation', 'private', '--', '/bin/sh', '-c', script], {
      env: { ...config.env, ...env, PATH: `/usr/sbin:/usr/bin:/sbin:${config.env.PATH ?? '/bin'}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new ImageProcess(child);
  }

  /** SIGTERM, as a kubelet ends a container; how it ended. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.child.kill('SIGTERM');
    return this.ended;
  }

  /** kill -9, for what a failed test leaves. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
