/**
 * Which documents stand in the target Secret, and in which order.
 *
 * What is there is taken to be good: it is in force, or was judged so. Each change to it (a document that comes, changes or goes, another order) is
 * judged, all of them together first. When that is refused, they are tried in halves, so that what cannot be done is found and the rest is done: an
 * object that cannot be used keeps the document that it had, and stands in nobody's way.
 */
import { inDeployOrder } from '@harikube/crds';
import type { ConfigDocument } from './config-document.js';

export type RefusalReason =
  | 'InvalidDeployOrder'
  | 'InvalidTopology'
  | 'SecretNotReady'
  | 'TooLarge'
  /** Keys would be hidden: they would have to move, or to be given up. */
  | 'DataWouldMove'
  | 'RouterRefused'
  | 'RouterUnreachable';

/** Why something is not done, for programs and for people. */
export interface Refusal {
  readonly reason: RefusalReason;
  readonly message: string;
}

/** A document in the Secret, and whose it is. */
export interface MergedEntry {
  /** Of the TopologyConfig. */
  readonly uid: string;
  /** `namespace/name` of the TopologyConfig. */
  readonly key: string;
  /** The metadata.generation that the document was made of. */
  readonly generation: number;
  /** Rises from one entry to the next. */
  readonly order: number;
  readonly document: ConfigDocument;
}

export interface MergeConfig {
  readonly uid: string;
  readonly key: string;
  readonly generation: number;
  readonly created: string;
  /** The place that it asks for. `as-before`: it cannot be read. */
  readonly pin: number | null | 'as-before';
  /** Its document is to be that of its spec, or the one that it has; or is to go. */
  readonly wish: 'present' | 'keep' | 'gone';
  /** Of its spec. */
  readonly document: ConfigDocument | Refusal;
}

export interface MergeInput {
  /** Every TopologyConfig of the target. */
  readonly configs: readonly MergeConfig[];
  /** What the Secret holds. An entry whose TopologyConfig is gone is to go, too. */
  readonly before: readonly MergedEntry[];
  /** Null: it can be done. */
  readonly judge: (entries: readonly MergedEntry[]) => Promise<Refusal | null>;
}

export interface Merge {
  /** In deploy order. */
  readonly entries: readonly MergedEntry[];
  /** By uid: what its wish came to, where it was not done. */
  readonly refusals: ReadonlyMap<string, Refusal>;
}

interface Item {
  readonly uid: string;
  readonly key: string;
  readonly created: string;
  readonly pin: number | null;
  readonly base: MergedEntry | undefined;
  readonly config: MergeConfig | undefined;
}

type Change =
  | { readonly do: 'reorder' }
  | { readonly do: 'put'; readonly item: Item; readonly document: ConfigDocument; readonly generation: number }
  | { readonly do: 'remove'; readonly item: Item };

interface Placed {
  readonly item: Item;
  readonly document: ConfigDocument;
  readonly generation: number;
}

interface State {
  readonly placed: ReadonlyMap<string, Placed>;
  /** By what is asked for now, not by the order that was. */
  readonly isReordered: boolean;
}

export async function mergeTopology({ configs, before, judge }: MergeInput): Promise<Merge> {
  const items = itemsOf(configs, before);
  const refusals = new Map<string, Refusal>();
  const placed = new Map<string, Placed>();
  const changes: Change[] = [];
  for (const item of items) {
    const { base, config } = item;
    if (base !== undefined) placed.set(item.uid, { item, document: base.document, generation: base.generation });
    const wish = config?.wish ?? 'gone';
    if (wish === 'gone') {
      if (base !== undefined) changes.push({ do: 'remove', item });
    } else if (wish === 'present' && config !== undefined) {
      const { document, generation } = config;
      if ('reason' in document) refusals.set(item.uid, document);
      else if (base !== undefined && isSame(base.document, document)) placed.set(item.uid, { item, document, generation });
      else changes.push({ do: 'put', item, document, generation });
    }
  }
  let state: State = { placed, isReordered: true };
  if (isOtherOrder(state)) {
    state = { placed, isReordered: false };
    changes.unshift({ do: 'reorder' });
  }
  const refused = new Map<Change, Refusal>();
  const settle = async (some: readonly Change[]): Promise<void> => {
    if (some.length === 0) return;
    const next = some.reduce(changed, state);
    const refusal = await judge(entriesOf(next));
    if (refusal === null) {
      state = next;
      for (const change of some) refused.delete(change);
    } else if (some.length === 1) {
      for (const change of some) refused.set(change, refusal);
    } else {
      const middle = Math.ceil(some.length / 2);
      await settle(some.slice(0, middle));
      await settle(some.slice(middle));
    }
  };
  await settle(changes);
  // What was in the way of one may have gone since.
  if (refused.size > 0 && refused.size < changes.length) await settle([...refused.keys()]);
  for (const [change, refusal] of refused) {
    for (const uid of change.do === 'reorder' ? movedBy(items) : [change.item.uid]) if (!refusals.has(uid)) refusals.set(uid, refusal);
  }
  return { entries: entriesOf(state), refusals };
}

/** In the order that is asked for. */
function itemsOf(configs: readonly MergeConfig[], before: readonly MergedEntry[]): Item[] {
  const byUid = new Map(before.map((entry) => [entry.uid, entry]));
  const alive = new Set(configs.map(({ uid }) => uid));
  // An object that was made anew takes over what its predecessor left.
  const left = new Map(before.filter(({ uid }) => !alive.has(uid)).map((entry) => [entry.key, entry]));
  const taken = new Set<MergedEntry>();
  const items = configs.map((config): Item => {
    const { uid, key, created } = config;
    const base = byUid.get(uid) ?? left.get(key);
    if (base !== undefined) taken.add(base);
    return { uid, key, created, pin: config.pin === 'as-before' ? (base?.order ?? null) : config.pin, base, config };
  });
  for (const base of before) {
    if (taken.has(base)) continue;
    const { uid, key, order } = base;
    items.push({ uid, key, created: '', pin: order, base, config: undefined });
  }
  return inDeployOrder(items).map(({ item }) => item);
}

function entriesOf({ placed, isReordered }: State): MergedEntry[] {
  const all = [...placed.values()].map(({ item, document, generation }) => ({
    pin: isReordered ? item.pin : (item.base?.order ?? item.pin),
    created: item.created,
    key: item.key,
    uid: item.uid,
    document,
    generation,
  }));
  return inDeployOrder(all).map(({ item: { uid, key, generation, document }, order }) => ({ uid, key, generation, order, document }));
}

/** Whether those that are there would stand in another sequence than they do. */
function isOtherOrder(state: State): boolean {
  const asked = entriesOf({ ...state, isReordered: true });
  const present = entriesOf({ ...state, isReordered: false });
  return asked.some(({ uid }, place) => uid !== present[place]?.uid);
}

function changed(state: State, change: Change): State {
  if (change.do === 'reorder') return { ...state, isReordered: true };
  const placed = new Map(state.placed);
  const { item } = change;
  if (change.do === 'put') placed.set(item.uid, change);
  else placed.delete(item.uid);
  return { ...state, placed };
}

/** Who asks for another place than the one that it has; when none does so by itself, all whose place would change. */
function movedBy(items: readonly Item[]): string[] {
  const moved = items.filter(({ base, pin }) => base !== undefined && pin !== base.order);
  const pinned = moved.filter(({ config }) => typeof config?.pin === 'number');
  return (pinned.length > 0 ? pinned : moved).map(({ uid }) => uid);
}

function isSame(one: ConfigDocument, other: ConfigDocument): boolean {
  const names = Object.keys(one.files);
  return (
    one.text === other.text &&
    names.length === Object.keys(other.files).length &&
    names.every((name) => one.files[name] === other.files[name])
  );
}
