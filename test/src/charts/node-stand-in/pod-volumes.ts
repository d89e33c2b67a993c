import { chmod, chown, mkdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StatusError } from '@harikube/kube';
import { dataOf, fieldOf, MissingObjectError, type ObjectReader } from './container-environment.js';
import type { ObjectSource, Pod, ProjectedSource, Volume } from './pod.js';

export interface PodVolumesOptions {
  readonly pod: Pod;
  /** Of this Pod. */
  readonly folder: string;
  readonly reader: ObjectReader;
  readonly podAddress: string;
  readonly nodeAddress: string;
  /** The uid that all containers have; the kubelet gives tokens to it. */
  readonly user: number;
  /** By the TokenRequest API. */
  readonly token: (request: { readonly audience?: string; readonly expirationSeconds: number }) => Promise<string>;
  /** The folder of a claim of the Pod's namespace. */
  readonly claimFolder: (claim: string) => Promise<string>;
}

interface File {
  readonly data: Buffer;
  readonly mode: number;
  readonly owner: number;
}

const DEFAULT_MODE = 0o644;
/** What `fsGroup` adds for the group. */
const GROUP_READS = 0o440;
const TOKEN_MODE = 0o600;

/** The volumes of a Pod as folders. */
export class PodVolumes {
  readonly #options: PodVolumesOptions;
  readonly #folders = new Map<string, string>();
  #written = 0;
  #isClosed = false;
  #refreshing: Promise<void> = Promise.resolve();

  constructor(options: PodVolumesOptions) {
    this.#options = options;
  }

  /** Where a volume is, once `prepare` has resolved. */
  folderOf(name: string): string {
    const folder = this.#folders.get(name);
    if (folder === undefined) throw new Error(`the Pod has no volume ${name}`);
    return folder;
  }

  /** Rejects with `MissingObjectError` while something is not there. */
  async prepare(): Promise<void> {
    for (const volume of this.#options.pod.spec.volumes ?? []) await this.#prepareOne(volume);
  }

  /** Writes again what follows Secrets, ConfigMaps and tokens; one time after the other, and not after `close`. */
  refresh(): Promise<void> {
    return (this.#refreshing = this.#refreshing.then(() => (this.#isClosed ? undefined : this.#refreshAll())));
  }

  /** Resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#refreshing;
  }

  async #refreshAll(): Promise<void> {
    for (const volume of this.#options.pod.spec.volumes ?? []) {
      if (volume.secret === undefined && volume.configMap === undefined && volume.projected === undefined) continue;
      try {
        await this.#prepareOne(volume);
      } catch (error) {
        // What is gone stays mounted as it was.
        if (!(error instanceof MissingObjectError) && !(error instanceof StatusError && error.isNotFound)) throw error;
      }
    }
  }

  async #prepareOne(volume: Volume): Promise<void> {
    const { pod, claimFolder, folder } = this.#options;
    const { namespace = '', uid = '' } = pod.metadata;
    if (volume.persistentVolumeClaim !== undefined) {
      const claim = await claimFolder(volume.persistentVolumeClaim.claimName);
      await this.#open(claim);
      this.#folders.set(volume.name, claim);
      return;
    }
    const target = join(folder, 'volumes', volume.name);
    await mkdir(target, { recursive: true });
    this.#folders.set(volume.name, target);
    if (volume.emptyDir !== undefined) {
      await this.#open(target);
      return;
    }
    const files = new Map<string, File>();
    const { secret, configMap, projected } = volume;
    if (secret !== undefined) this.#add(files, 'secret', { ...secret, name: secret.secretName }, secret.defaultMode);
    else if (configMap !== undefined) this.#add(files, 'configMap', configMap, configMap.defaultMode);
    else if (projected !== undefined) {
      for (const source of projected.sources) await this.#addProjected(files, source, projected.defaultMode);
    } else throw new Error(`volume ${volume.name} of Pod ${namespace}/${uid} is of a kind that is not known`);
    await this.#write(target, files);
  }

  async #addProjected(files: Map<string, File>, source: ProjectedSource, mode: number | undefined): Promise<void> {
    const { fsGroup } = this.#options.pod.spec.securityContext ?? {};
    if (source.secret !== undefined) this.#add(files, 'secret', source.secret, mode);
    if (source.configMap !== undefined) this.#add(files, 'configMap', source.configMap, mode);
    for (const { path, fieldRef } of source.downwardAPI?.items ?? []) {
      const data = Buffer.from(fieldOf(fieldRef?.fieldPath ?? '', this.#options));
      files.set(path, { data, mode: mode ?? DEFAULT_MODE, owner: 0 });
    }
    if (source.serviceAccountToken !== undefined) {
      const { path, audience, expirationSeconds = 3600 } = source.serviceAccountToken;
      const data = Buffer.from(await this.#options.token({ audience, expirationSeconds }));
      files.set(path, { data, mode: TOKEN_MODE, owner: fsGroup === undefined ? this.#options.user : 0 });
    }
  }

  #add(files: Map<string, File>, kind: 'secret' | 'configMap', source: ObjectSource, mode = DEFAULT_MODE): void {
    const data = dataOf(this.#options.reader, kind, this.#options.pod.metadata.namespace ?? '', source);
    const items = source.items ?? [...(data?.keys() ?? [])].map((key) => ({ key, path: key }));
    for (const item of items) {
      const value = data?.get(item.key);
      if (value !== undefined) files.set(item.path, { data: value, mode: ('mode' in item ? item.mode : undefined) ?? mode, owner: 0 });
      else if (source.optional !== true) throw new MissingObjectError(`${source.name} has no key ${item.key}`);
    }
  }

  /** Anybody in the Pod may write. */
  async #open(folder: string): Promise<void> {
    const { fsGroup } = this.#options.pod.spec.securityContext ?? {};
    if (fsGroup !== undefined) await chown(folder, 0, fsGroup);
    await chmod(folder, fsGroup === undefined ? 0o777 : 0o2777);
  }

  /** All files change at once, by the swap of the link `..data`. */
  async #write(target: string, files: ReadonlyMap<string, File>): Promise<void> {
    const { fsGroup } = this.#options.pod.spec.securityContext ?? {};
    const draft = `..${Date.now()}.${this.#written++}`;
    for (const [path, { data, mode, owner }] of files) {
      const file = join(target, draft, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, data);
      await chown(file, owner, fsGroup ?? 0);
      await chmod(file, fsGroup === undefined ? mode : mode | GROUP_READS);
    }
    await mkdir(join(target, draft), { recursive: true });
    const before = await readlink(join(target, '..data')).catch(() => null);
    await symlink(draft, join(target, '..data_tmp'));
    await rename(join(target, '..data_tmp'), join(target, '..data'));
    for (const name of new Set([...files.keys()].map((path) => path.split('/')[0] ?? path))) {
      await symlink(join('..data', name), join(target, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    }
    if (before !== null) await rm(join(target, before), { recursive: true, force: true });
  }
}
