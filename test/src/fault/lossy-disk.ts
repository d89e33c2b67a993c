import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Random } from '@harikube/testing';
import type { TracedCall, TraceEvent } from './file-trace.js';

type Change =
  | { readonly type: 'write'; readonly at: number; readonly data: Buffer; isDone: boolean }
  | { readonly type: 'truncate'; readonly size: number; isDone: boolean };

/** A file or a folder, whatever its names. */
type Node = FileNode | FolderNode;

class FileNode {
  /** What is on the disk for sure. */
  synced: Buffer = Buffer.alloc(0);
  /** What was changed since, in order. */
  pending: Change[] = [];
}

interface EntryChange {
  /** Names that point to something else now; null: to nothing. */
  readonly entries: ReadonlyMap<string, Node | null>;
}

class FolderNode {
  readonly synced = new Map<string, Node>();
  readonly current = new Map<string, Node>();
  pending: EntryChange[] = [];

  change(entries: ReadonlyMap<string, Node | null>): void {
    this.pending.push({ entries });
    put(this.current, entries);
  }
}

/** What becomes of what was not synced. */
export interface Loss {
  /** Bytes that a disk writes whole or not at all. */
  readonly pieceBytes: 512 | 4096;
  /** Whether a piece of a change came to the disk; `index` of the change among `count` of its file. */
  readonly keeps: (index: number, count: number) => boolean;
  /** Whether a change of a folder came to the disk. */
  readonly keepsEntry: () => boolean;
}

/** How a disk may lose what was not synced. */
export function drawLoss(random: Random): Loss {
  const pieceBytes = random.pick([512, 4096] as const);
  const entries = random.pick([0, 0.5, 1]);
  const keepsEntry = (): boolean => random.chance(entries);
  const kind = random.below(6);
  if (kind === 0) return { pieceBytes, keeps: () => false, keepsEntry };
  if (kind === 1) return { pieceBytes, keeps: () => true, keepsEntry };
  // In the order in which it was written, up to somewhere.
  const part = random.next();
  if (kind === 2) return { pieceBytes, keeps: (index, count) => index < part * count, keepsEntry };
  // The newest first.
  if (kind === 3) return { pieceBytes, keeps: (index, count) => index >= part * count, keepsEntry };
  const share = random.pick([0.1, 0.5, 0.9]);
  return { pieceBytes, keeps: () => random.chance(share), keepsEntry };
}

/** Content of the shared memory of a SQLite file, which every first connection makes anew. */
const VOLATILE = /-shm$/;

/**
 * A folder as a disk holds it that loses what was not synced when its power goes. It promises no more than POSIX does: an fsync or fdatasync that came
 * back has everything on the disk that was written to the file before it began, an fsync of a folder its entries; of everything else any part may be
 * there, an entry without its content and a content without its entry included.
 */
export class LossyDisk {
  readonly #top = new FolderNode();
  /** What an fsync that is under way will have on the disk. */
  readonly #syncing = new Map<TracedCall, () => void>();
  readonly #writing = new Map<TracedCall, Change>();

  /** `folder` is empty and there for sure. `isLying`: it answers an fsync and does nothing. */
  constructor(
    private readonly folder: string,
    private readonly isLying = false,
  ) {}

  /** Takes part in what a program does. Throws when it does something whose meaning is not known here. */
  follow(event: TraceEvent): void {
    const { call } = event;
    if (!this.#isInside(call.path) || VOLATILE.test(call.path)) return;
    if (event.type === 'begun') this.#begin(call);
    else this.#end(call, event.result);
  }

  /** Makes in a folder what is left when the power goes now. */
  async rebuild(target: string, loss: Loss): Promise<void> {
    await rebuildFolder(this.#top, target, loss);
  }

  #begin(call: TracedCall): void {
    const node = this.#find(call.path);
    if (call.name === 'fsync' || call.name === 'fdatasync') {
      if (node !== null && !this.isLying) this.#syncing.set(call, sync(node));
    } else if (call.name === 'pwrite64' || call.name === 'ftruncate') {
      if (!(node instanceof FileNode)) return; // it has no name any more
      const last = Number(/(\d+)\)?\s*(<unfinished \.\.\.>)?$/.exec(call.rest)?.[1]);
      const change: Change =
        call.name === 'pwrite64'
          ? { type: 'write', at: last, data: call.data, isDone: false }
          : { type: 'truncate', size: last, isDone: false };
      node.pending.push(change);
      this.#writing.set(call, change);
    } else if (/write|truncate|fallocate|range|sendfile|^link/.test(call.name)) {
      throw new Error(`the traced program calls ${call.name} on ${call.path}, whose meaning a lossy disk does not know`);
    }
  }

  #end(call: TracedCall, result: number): void {
    const change = this.#writing.get(call);
    if (change !== undefined) {
      this.#writing.delete(call);
      if (result < 0 || (change.type === 'write' && result !== change.data.length)) {
        throw new Error(`${call.name} on ${call.path} came back with ${result}`);
      }
      change.isDone = true;
    }
    const synced = this.#syncing.get(call);
    this.#syncing.delete(call);
    if (result < 0) return;
    synced?.();
    if (/^(open|creat)/.test(call.name)) {
      if (this.#find(call.path) === null && call.rest.includes('O_CREAT')) this.#enter(call.path, new FileNode());
      else if (call.rest.includes('O_TRUNC')) throw new Error(`${call.path} is truncated by ${call.name}`);
    } else if (/^mkdir/.test(call.name)) this.#enter(call.path, new FolderNode());
    else if (/^(unlink|rmdir)/.test(call.name)) this.#enter(call.path, null);
    else if (call.name.startsWith('rename')) {
      const node = this.#find(call.path);
      if (dirname(call.path) !== dirname(call.otherPath)) throw new Error(`${call.path} is moved to another folder`);
      this.#parent(call.path).change(
        new Map([
          [nameOf(call.path), null],
          [nameOf(call.otherPath), node],
        ]),
      );
    }
  }

  #enter(path: string, node: Node | null): void {
    this.#parent(path).change(new Map([[nameOf(path), node]]));
  }

  #parent(path: string): FolderNode {
    const parent = this.#find(dirname(path));
    if (!(parent instanceof FolderNode)) throw new Error(`${dirname(path)} is no folder of the disk`);
    return parent;
  }

  #find(path: string): Node | null {
    let node: Node = this.#top;
    for (const name of path.slice(this.folder.length).split('/')) {
      if (name === '') continue;
      const next: Node | undefined = node instanceof FolderNode ? node.current.get(name) : undefined;
      if (next === undefined) return null;
      node = next;
    }
    return node;
  }

  #isInside(path: string): boolean {
    return path === this.folder || path.startsWith(`${this.folder}/`);
  }
}

/** What stands to be synced now; the function does it. */
function sync(node: Node): () => void {
  if (node instanceof FolderNode) {
    const changes = node.pending.slice();
    return () => {
      for (const { entries } of changes) put(node.synced, entries);
      node.pending = node.pending.filter((change) => !changes.includes(change));
    };
  }
  const changes = new Set(node.pending.filter(({ isDone }) => isDone));
  return () => {
    for (const change of changes) if (node.pending.includes(change)) node.synced = apply(node.synced, change);
    node.pending = node.pending.filter((change) => !changes.has(change));
  };
}

function put(target: Map<string, Node>, entries: ReadonlyMap<string, Node | null>): void {
  for (const [name, node] of entries) {
    if (node === null) target.delete(name);
    else target.set(name, node);
  }
}

function apply(content: Buffer, change: Change): Buffer {
  if (change.type === 'truncate') return resized(content, change.size);
  const end = change.at + change.data.length;
  // In place: contents are copied before anybody else gets them.
  const target = end > content.length ? resized(content, end) : content;
  change.data.copy(target, change.at);
  return target;
}

function resized(content: Buffer, size: number): Buffer {
  const target = Buffer.alloc(size);
  content.copy(target, 0, 0, Math.min(size, content.length));
  return target;
}

async function rebuildFolder(folder: FolderNode, path: string, loss: Loss): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const entries = new Map(folder.synced);
  for (const change of folder.pending) if (loss.keepsEntry()) put(entries, change.entries);
  for (const [name, node] of entries) {
    if (node instanceof FolderNode) await rebuildFolder(node, join(path, name), loss);
    else await writeFile(join(path, name), leftOf(node, loss), { mode: 0o600 });
  }
}

function leftOf({ synced, pending }: FileNode, { pieceBytes, keeps }: Loss): Buffer {
  let content: Buffer = Buffer.from(synced);
  for (const [index, change] of pending.entries()) {
    if (change.type === 'truncate') {
      if (keeps(index, pending.length)) content = apply(content, change);
      continue;
    }
    for (let from = 0; from < change.data.length;) {
      const at = change.at + from;
      const to = Math.min(change.data.length, from + pieceBytes - (at % pieceBytes));
      if (keeps(index, pending.length)) content = apply(content, { ...change, at, data: change.data.subarray(from, to) });
      from = to;
    }
  }
  return content;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
