import { createHash } from 'node:crypto';
import { MANAGED_BY, MANAGED_BY_LABEL, TOPOLOGY_FINALIZER } from '@harikube/crds';
import { topologyVersion } from '@harikube/datasources';
import type { KubeObject } from '@harikube/kube';
import type { MergedEntry } from './merge-topology.js';

export interface Secret extends KubeObject {
  type?: string;
  /** Values in base64. */
  data?: Record<string, string>;
}

export interface TargetName {
  readonly namespace: string;
  readonly name: string;
}

/** On a target Secret: whose each document is, and what it was when it was written. JSON; holds nothing secret. */
export const DOCUMENTS_ANNOTATION = 'harikube.info/documents';

/** What the annotation says of one key. */
interface DocumentNote {
  readonly uid: string;
  /** `namespace/name` of the TopologyConfig. */
  readonly of: string;
  readonly generation: number;
  readonly order: number;
  /** The files that the document names. */
  readonly files: readonly string[];
  /** Of the document and its files: tells what was changed by hand. */
  readonly sha256: string;
}

/** The keys of the Secret: a document per entry, in whose names the numbers are equally long, so that the order of names is the deploy order; and files. */
export function secretTexts(entries: readonly MergedEntry[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [key, { document }] of documentKeys(entries)) {
    texts.set(key, document.text);
    for (const [file, text] of Object.entries(document.files)) texts.set(file, text);
  }
  return texts;
}

/** As the router counts it. */
export function versionOf(texts: ReadonlyMap<string, string>): string {
  return topologyVersion([...texts].map(([name, text]) => ({ name, text })));
}

/** The key of each entry's document. */
export function documentKeys(entries: readonly MergedEntry[]): Map<string, MergedEntry> {
  const width = Math.max(0, ...entries.map(({ order }) => String(order).length));
  return new Map(entries.map((entry) => [`${String(entry.order).padStart(width, '0')}-${nameOf(entry)}.yaml`, entry]));
}

/** The Secret with these entries; what others have written beside them in its metadata stays. */
export function mergedSecret({ namespace, name }: TargetName, entries: readonly MergedEntry[], current: Secret | undefined): Secret {
  const notes = Object.fromEntries([...documentKeys(entries)].map(([key, entry]) => [key, noteOf(entry)]));
  const data = Object.fromEntries([...secretTexts(entries)].map(([key, text]) => [key, Buffer.from(text, 'utf8').toString('base64')]));
  const { metadata = {} } = current ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      ...metadata,
      namespace,
      name,
      labels: { ...metadata.labels, [MANAGED_BY_LABEL]: MANAGED_BY },
      annotations: { ...metadata.annotations, [DOCUMENTS_ANNOTATION]: JSON.stringify(notes) },
      finalizers: [...new Set([...(metadata.finalizers ?? []), TOPOLOGY_FINALIZER])],
    },
    type: current?.type ?? 'Opaque',
    data,
  };
}

/** Whether a Secret is as it is to be, in what is ours of it. */
export function isAsWanted(current: Secret, wanted: Secret): boolean {
  const names = Object.keys(wanted.data ?? {});
  return (
    Object.keys(current.data ?? {}).length === names.length &&
    names.every((name) => current.data?.[name] === wanted.data?.[name]) &&
    current.metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY &&
    current.metadata.annotations?.[DOCUMENTS_ANNOTATION] === wanted.metadata.annotations?.[DOCUMENTS_ANNOTATION] &&
    current.metadata.finalizers?.includes(TOPOLOGY_FINALIZER) === true
  );
}

/** What the operator, or the one of the reference, has made; or what holds nothing that could be lost. */
export function isOurs({ metadata, data = {} }: Secret): boolean {
  return (
    metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY ||
    metadata.finalizers?.includes(TOPOLOGY_FINALIZER) === true ||
    Object.keys(data).length === 0
  );
}

/** The entries of a Secret, in deploy order, without those whose document was changed by hand. `tampered`: something was, or nothing says what was there. */
export function entriesOf({ metadata, data = {} }: Secret): { readonly entries: MergedEntry[]; readonly tampered: boolean } {
  const notes = notesOf(metadata.annotations?.[DOCUMENTS_ANNOTATION]);
  const entries: MergedEntry[] = [];
  for (const [key, note] of Object.entries(notes ?? {})) {
    const text = textOf(data[key]);
    const files = Object.fromEntries(note.files.map((file) => [file, textOf(data[file]) ?? '']));
    if (text === undefined) continue;
    const entry = { uid: note.uid, key: note.of, generation: note.generation, order: note.order, document: { text, files } };
    if (digestOf(entry) === note.sha256) entries.push(entry);
  }
  return { entries: entries.toSorted((a, b) => a.order - b.order), tampered: notes === null || entries.length < Object.keys(notes).length };
}

function noteOf(entry: MergedEntry): DocumentNote {
  const { uid, key, generation, order, document } = entry;
  return { uid, of: key, generation, order, files: Object.keys(document.files).toSorted(), sha256: digestOf(entry) };
}

function digestOf({ document: { text, files } }: MergedEntry): string {
  return createHash('sha256')
    .update(JSON.stringify([text, Object.entries(files).toSorted(([a], [b]) => (a < b ? -1 : 1))]))
    .digest('hex');
}

/** Null where it cannot be read: somebody else has written it, or nobody. */
function notesOf(text: string | undefined): Readonly<Record<string, DocumentNote>> | null {
  if (text === undefined) return null;
  try {
    const notes: unknown = JSON.parse(text);
    return isNotes(notes) ? notes : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function isNotes(notes: unknown): notes is Record<string, DocumentNote> {
  return typeof notes === 'object' && notes !== null && !Array.isArray(notes) && Object.values(notes).every(isNote);
}

function isNote(note: unknown): note is DocumentNote {
  if (typeof note !== 'object' || note === null) return false;
  const { uid, of, generation, order, files, sha256 } = note as Partial<Record<keyof DocumentNote, unknown>>;
  return (
    [uid, of, sha256].every((text) => typeof text === 'string') &&
    [generation, order].every((number) => Number.isSafeInteger(number)) &&
    Array.isArray(files) &&
    files.every((file) => typeof file === 'string')
  );
}

function textOf(base64: string | undefined): string | undefined {
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString('utf8');
}

function nameOf({ key }: MergedEntry): string {
  return key.slice(key.indexOf('/') + 1);
}
