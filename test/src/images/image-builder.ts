/** Builds the stages of a Dockerfile as layers of an overlay, each step in a mount namespace of its own: root is needed, and Linux. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../run-program.js';
import type { BuildStep, ImageConfig, Stage } from './dockerfile.js';

export interface Image {
  /** Folders, the lowest first. */
  readonly layers: readonly string[];
  readonly config: ImageConfig;
}

interface ImageBuilderOptions {
  /** The stages lie in it; it has to be on a disk, since an overlay takes no overlay. */
  readonly folder: string;
  /** The build context: of it only what git tracks or would track. */
  readonly context: string;
  /** The root of an image that is the base of a stage. */
  readonly root: (image: string) => Promise<string>;
  /** The machine's folder in the place of a cache of the build, such as npm's. */
  readonly cache: (target: string) => string;
}

export class ImageBuilder {
  readonly #built = new Map<string, Promise<Image>>();

  constructor(
    private readonly stages: readonly Stage[],
    private readonly options: ImageBuilderOptions,
  ) {}

  /** A stage with those that it is made from, each built once. */
  build(name: string): Promise<Image> {
    const known = this.#built.get(name);
    if (known !== undefined) return known;
    const building = this.#build(name);
    this.#built.set(name, building);
    return building;
  }

  async #build(name: string): Promise<Image> {
    const stage = this.stages.find((one) => one.name === name);
    if (stage === undefined) return { layers: [await this.options.root(name)], config: EMPTY };
    const base = await this.build(stage.base);
    const layer = new Layer(join(this.options.folder, name), base.layers);
    await layer.create();
    for (const step of stage.steps) await (step.kind === 'run' ? this.#run(layer, stage, step) : this.#copy(layer, stage, step));
    return { layers: [...base.layers, layer.upper], config: stage.config };
  }

  async #run(layer: Layer, stage: Stage, { command, caches, args }: Extract<BuildStep, { kind: 'run' }>): Promise<void> {
    const mounts = caches.flatMap((target) => bind(this.options.cache(target), `"$M"${target}`));
    const variables = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', HOME: '/root', ...stage.config.env, ...args };
    const env = Object.entries(variables).map(([key, value]) => quote(`${key}=${value}`));
    await layer.within([
      // The machine's own way to the network.
      ...['/proc', '/dev', '/etc/resolv.conf', '/etc/hosts', '/etc/ssl/certs'].flatMap((path) => bind(path, `"$M"${path}`)),
      ...mounts,
      `exec chroot "$M" /usr/bin/env -i ${env.join(' ')} NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt /bin/sh -c ${quote(`cd ${stage.config.workdir} && ${command}`)}`,
    ]);
  }

  async #copy(layer: Layer, stage: Stage, { from, sources, target }: Extract<BuildStep, { kind: 'copy' }>): Promise<void> {
    if (from !== null) {
      const [source = ''] = sources;
      const { layers } = await this.build(from);
      const upper = layers.at(-1) ?? '';
      await layer.within([`mkdir -p "$M"${target}`, `cp -a ${quote(join(upper, source))}/. "$M"${target}/`]);
      return;
    }
    const isInPlace = target === './' ? sources.every((source) => !source.includes('/')) : sources.length === 1 && sources[0] === target;
    if (!isInPlace) throw new Error(`COPY ${sources.join(' ')} ${target}: only copies to the same place are known`);
    const files = `git -C ${quote(this.options.context)} ls-files -z --cached --others --exclude-standard -- ${sources.map(quote).join(' ')}`;
    await layer.within([
      `mkdir -p "$M"${stage.config.workdir}`,
      `${files} | tar -C ${quote(this.options.context)} --null --no-recursion -T - -c | tar -C "$M"${stage.config.workdir} -x --no-same-owner`,
    ]);
  }
}

const EMPTY: ImageConfig = { workdir: '/', user: '', env: {}, entrypoint: [], cmd: [], labels: {}, ports: [] };

/** What one stage adds to those below it. */
class Layer {
  readonly upper: string;

  constructor(
    private readonly folder: string,
    private readonly lower: readonly string[],
  ) {
    this.upper = join(folder, 'upper');
  }

  async create(): Promise<void> {
    for (const name of ['upper', 'work', 'merged']) await mkdir(join(this.folder, name), { recursive: true });
  }

  /** Runs lines of shell that see the whole at `$M`. */
  async within(lines: readonly string[]): Promise<void> {
    const options = `lowerdir=${lowerdir(this.lower)},upperdir=${this.upper},workdir=${join(this.folder, 'work')}`;
    const script = ['set -e', `M=${quote(join(this.folder, 'merged'))}`, `mount -t overlay overlay -o ${quote(options)} "$M"`, ...lines];
    await runProgram('unshare', ['--mount', '--propagation', 'private', '--', '/bin/sh', '-c', script.join('\n')]);
  }
}

/** The layers as an overlay wants them: the highest first. */
export function lowerdir(layers: readonly string[]): string {
  return layers.toReversed().join(':');
}

/** Lines of shell that show a file or folder of the machine at a place, which is made when it is missing. */
export function bind(source: string, target: string): string[] {
  const make = `if [ -d ${quote(source)} ]; then mkdir -p ${target}; else mkdir -p "$(dirname ${target})"; touch ${target}; fi`;
  return [make, `mount --rbind ${quote(source)} ${target}`];
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
