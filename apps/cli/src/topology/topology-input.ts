import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readTopologyFile, topologyTextOf } from '@harikube/datasources';
import { errorCode, SetupError } from '@harikube/local-cluster';
import type { RouterTopologyDocument } from '@harikube/platform';

/** The documents of one topology as they are on disk. */
export interface TopologyInput {
  /** As messages name the whole. */
  readonly name: string;
  /** A single file names its document "", as a router does that reads that file. */
  readonly documents: readonly RouterTopologyDocument[];
  /** Where the document is that has this name. */
  readonly pathOf: (document: string) => string;
}

const DOCUMENT = /\.ya?ml$/;

/**
 * Reads a file, a folder whose files are the documents as the keys of a Secret are, or standard input for `-`. Throws
 * `TopologySourceError` and `SetupError`.
 */
export async function readTopologyInput(file: string): Promise<TopologyInput> {
  if (file === '-') {
    const text = topologyTextOf(await readStandardInput(), 'of standard input');
    return { name: 'standard input', documents: [{ name: '', text }], pathOf: () => 'standard input' };
  }
  const path = resolve(file);
  if (!isFolder(path)) return { name: path, documents: [{ name: '', text: await readTopologyFile(path) }], pathOf: () => path };
  // The kubelet keeps the folders behind the links of a mounted Secret in hidden ones.
  const names = namesIn(path).filter((name) => DOCUMENT.test(name) && !name.startsWith('.'));
  if (names.length === 0) throw new SetupError(`the folder ${path} holds no topology: its documents end in .yaml`);
  const pathOf = (name: string): string => join(path, name);
  const documents = await Promise.all(names.map(async (name) => ({ name, text: await readTopologyFile(pathOf(name)) })));
  return { name: path, documents, pathOf };
}

function isFolder(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch (error) {
    // The read that follows says why.
    if (errorCode(error) !== '') return false;
    throw error;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    throw new SetupError(`the folder ${folder} cannot be read (${errorCode(error)})`, { cause: error });
  }
}

async function readStandardInput(): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(Buffer.from(part as Uint8Array));
  return Buffer.concat(parts);
}
