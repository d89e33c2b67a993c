import type { KubeClient, KubeObject, Resource } from '@harikube/kube';
import { SetupError } from '@harikube/local-cluster';

/** An object with conditions, as far as they are read here. */
export interface Conditioned extends KubeObject {
  readonly status?: { readonly conditions?: readonly { type: string; status: string; reason?: string; message?: string }[] };
}

export interface AwaitedCondition {
  readonly name: string;
  /** Absent: the kind is in none. */
  readonly namespace?: string;
  readonly type: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Resolves when a condition of an object is True; a `SetupError` after the time says what was told last. */
export async function awaitCondition(
  client: Pick<KubeClient, 'list' | 'watch'>,
  resource: Resource<Conditioned>,
  { name, namespace, type, timeoutMs, signal }: AwaitedCondition,
): Promise<void> {
  const deadline = AbortSignal.timeout(timeoutMs);
  let told = 'there is none of this name';
  const isTrue = (object: Conditioned): boolean => {
    const condition = conditionOf(object, type);
    told = condition?.message ?? 'nothing is said about it';
    return condition?.status === 'True';
  };
  try {
    await untilSeen(client, resource, { name, namespace, isWanted: isTrue, signal: AbortSignal.any([signal, deadline]) });
  } catch (error) {
    if (!deadline.aborted || signal.aborted) throw error;
    throw new SetupError(`${resource.kind} ${name} is not ${type} after ${timeoutMs / 1000}s: ${told}`, { cause: error });
  }
}

export function conditionOf({ status }: Conditioned, type: string): { status: string; reason?: string; message?: string } | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

async function untilSeen(
  client: Pick<KubeClient, 'list' | 'watch'>,
  resource: Resource<Conditioned>,
  {
    name,
    namespace,
    isWanted,
    signal,
  }: Pick<AwaitedCondition, 'name' | 'namespace' | 'signal'> & { readonly isWanted: (object: Conditioned) => boolean },
): Promise<void> {
  const where = { namespace, fieldSelector: `metadata.name=${name}`, signal };
  // Each turn begins with what is there: a watch may end at any time, and its revision may be too old.
  for (;;) {
    signal.throwIfAborted();
    const { items, metadata } = await client.list(resource, where);
    if (items.some(isWanted)) return;
    for await (const { type, object } of client.watch(resource, { ...where, resourceVersion: metadata.resourceVersion })) {
      if (type === 'ERROR') break;
      if ((type === 'ADDED' || type === 'MODIFIED') && isWanted(object as Conditioned)) return;
    }
  }
}
