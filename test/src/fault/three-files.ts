import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMMON, kindTopology } from './kind-topology.js';
import { RouterProcess, type RouterProcessOptions } from './router-process.js';
import type { Area } from '../consistency/history.js';

const KINDS = ['users', 'emails'];
const DEFAULT_AREA: Area = { name: 'main', prefix: `${COMMON}orders/` };

/** Where the files of a router over SQLite are: users and emails in a file each, everything else in the default one; or all in one. */
export class ThreeFiles {
  readonly areas: readonly Area[];

  private constructor(
    private readonly root: string,
    isOne: boolean,
    private readonly isApart: boolean,
    /** Of the endpoints: `?_synchronous=NORMAL`, for one. */
    private readonly parameters: string,
  ) {
    this.areas = [DEFAULT_AREA, ...(isOne ? [] : KINDS.map((name) => ({ name, prefix: `${COMMON}${name}/` })))];
  }

  static async create({
    isOne = false,
    isApart = false,
    parameters = '',
  }: { readonly isOne?: boolean; readonly isApart?: boolean; readonly parameters?: string } = {}): Promise<ThreeFiles> {
    const root = await mkdtemp(join(tmpdir(), 'harikube-files-'));
    const files = new ThreeFiles(root, isOne, isApart, parameters);
    await mkdir(files.disk);
    // A disk may be mounted there.
    if (isApart) for (const area of files.areas) await mkdir(files.folder(area));
    return files;
  }

  /** Everything that the router writes is below this folder. */
  get disk(): string {
    return join(this.root, 'disk');
  }

  /** A path beside the files. */
  beside(name: string): string {
    return join(this.root, name);
  }

  /** What the file of an area is in: of its own when they are apart. */
  folder({ name }: Area): string {
    return join(this.disk, this.isApart ? name : 'data');
  }

  file(area: Area): string {
    return join(this.folder(area), `${area.name}.db`);
  }

  async start(options: Omit<RouterProcessOptions, 'database' | 'topology'> = {}): Promise<RouterProcess> {
    const rules = this.areas
      .filter(({ name }) => KINDS.includes(name))
      .map((area) => ({ kind: area.name, endpoint: `sqlite://${this.file(area)}${this.parameters}` }));
    const topology = this.beside('topology.yaml');
    await writeFile(topology, kindTopology(rules));
    const database = `sqlite://${this.file(DEFAULT_AREA)}${this.parameters}`;
    return RouterProcess.start({ ...options, database, topology });
  }

  async remove(): Promise<void> {
    await rm(this.root, { recursive: true });
  }
}
