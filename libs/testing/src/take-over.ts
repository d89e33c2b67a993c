import type { ControlState, ControlStore, WriterIdentity } from '@harikube/keyspace';

/** A process of its own, which nobody reaches. */
export function someWriter(leaseMs = 10_000): WriterIdentity {
  return { holder: crypto.randomUUID(), address: '', leaseMs };
}

/** Begins an epoch at once, whoever holds the lease. */
export async function takeOver(store: ControlStore, self: WriterIdentity = someWriter()): Promise<ControlState> {
  const control = await store.begin(self, await store.writer());
  if (control === null) throw new Error('the writer has changed since it was looked at');
  return control;
}
