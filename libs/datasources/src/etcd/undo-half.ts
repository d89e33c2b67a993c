import { type KeyValue, rowId } from '@harikube/keyspace';
import type { EtcdClient } from './etcd-client.js';
import type { EtcdGuard } from './etcd-guard.js';
import { deleteOp, putOp } from './etcd-messages.js';
import { type EtcdLimits, type Part, packed, unit } from './etcd-parts.js';
import { decodePart, metaKey, partKey, PARTS_END } from './own-keys.js';

/** Parts that are looked at together. */
const PAGE_PARTS = 16;

/**
 * Gives every key of a batch that was written in part what it had before. It may be cut short anywhere: the parts that are
 * left tell what is still to be done.
 */
export async function undoHalf(client: EtcdClient, guard: EtcdGuard, limits: EtcdLimits): Promise<void> {
  const { pending, lastRevision } = guard.meta;
  if (pending === null) return;
  for (;;) {
    const { kvs } = await client.range({ start: partKey(rowId(lastRevision + 1n, 0)), end: PARTS_END, limit: PAGE_PARTS });
    if (kvs.length === 0) break;
    for (const part of kvs) {
      for (const { ops } of await restorationOf(client, part, pending.base, limits)) await guard.write({ ops });
    }
  }
  await guard.write({ ops: [], change: (meta) => ({ ...meta, pending: null }) });
}

/** The part itself goes with the last of its keys. */
async function restorationOf(client: EtcdClient, part: KeyValue, base: bigint, limits: EtcdLimits): Promise<readonly Part[]> {
  const keys = decodePart(part.value).map(({ key }) => key);
  const { kvs } = await client.keys(
    keys.flatMap((key) => [key, metaKey(key)]),
    base,
  );
  const units = keys.map((key, i) => {
    const [value, meta] = kvs.slice(2 * i, 2 * i + 2);
    const isThere = value !== undefined && meta !== undefined;
    return unit(isThere ? [putOp(key, value.value), putOp(metaKey(key), meta.value)] : [deleteOp(key), deleteOp(metaKey(key))]);
  });
  return packed([...units, unit([deleteOp(part.key)])], limits);
}
