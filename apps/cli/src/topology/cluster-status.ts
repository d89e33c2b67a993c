import type { TopologyConfig } from '@harikube/crds';
import type { Env } from '@harikube/platform';
import { amountText } from './amount.js';
import { type ClusterFlags, inCluster, listConfigs } from './cluster-access.js';
import { answer, columns, EXIT, type Output } from './output.js';

interface ConfigStatus {
  readonly namespace: string;
  readonly name: string;
  readonly target: string;
  /** Null: it has none yet. */
  readonly order: number | null;
  readonly status: string;
  readonly reason: string;
  /** Whether the status is of the object as it is by now. */
  readonly isCurrent: boolean;
  readonly isBeingDeleted: boolean;
  readonly conditions: readonly object[];
  readonly backends: readonly { readonly name: string; readonly keys: number | null; readonly bytes: number | null }[];
}

/** Says how far each TopologyConfig is; resolves to an exit code: fine only when all are in force. */
export async function clusterStatus(flags: ClusterFlags, env: Env, output: Output): Promise<number> {
  const configs = (await inCluster(flags, env, ({ client }) => listConfigs(client, flags.namespace))).map(statusOf);
  const sorted = configs.toSorted(
    (a, b) =>
      a.target.localeCompare(b.target) ||
      (a.order ?? Infinity) - (b.order ?? Infinity) ||
      a.namespace.localeCompare(b.namespace) ||
      a.name.localeCompare(b.name),
  );
  const where = flags.namespace === undefined ? 'in the cluster' : `in the namespace ${flags.namespace}`;
  const lines = [...Map.groupBy(sorted, ({ target }) => target)].flatMap(([target, members]) => [`${target}:`, ...memberLines(members)]);
  answer(output, { configs: sorted }, lines.length === 0 ? [`there is no TopologyConfig ${where}`] : lines);
  return exitCodeOf(sorted);
}

function exitCodeOf(configs: readonly ConfigStatus[]): number {
  const waiting = configs.filter(({ status, isCurrent, isBeingDeleted }) => status !== 'Active' || !isCurrent || isBeingDeleted);
  if (waiting.length === 0) return EXIT.fine;
  return waiting.every(({ status, isCurrent }) => status === 'Held' && isCurrent) ? EXIT.held : EXIT.wrong;
}

function statusOf({ metadata, spec, status }: TopologyConfig): ConfigStatus {
  const usage = new Map(status?.backends?.map((backend) => [backend.name, backend]));
  // One that is not in the rules any more may still hold keys.
  const names = new Set([...spec.backends.map(({ name }) => name), ...usage.keys()]);
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    target: spec.targetSecret,
    order: status?.deployOrder ?? null,
    status: status?.deployStatus ?? 'Pending',
    reason: status?.deployStatusReason ?? '',
    isCurrent: status?.observedGeneration === metadata.generation,
    isBeingDeleted: metadata.deletionTimestamp !== undefined,
    conditions: status?.conditions ?? [],
    backends: [...names].map((name) => ({ name, keys: usage.get(name)?.keys ?? null, bytes: usage.get(name)?.bytes ?? null })),
  };
}

function memberLines(members: readonly ConfigStatus[]): string[] {
  const heads = columns(
    members.map(({ namespace, name, order, status, reason, isCurrent, isBeingDeleted }) => [
      order === null ? '-' : String(order),
      `${namespace}/${name}`,
      status,
      [
        ...(isBeingDeleted ? ['being deleted'] : []),
        ...(isCurrent ? [] : ['its last change has not been judged yet']),
        ...(reason === '' ? [] : [reason.replace(/\s*\n\s*/g, '; ')]),
      ].join('; '),
    ]),
    '  ',
  );
  return members.flatMap(({ backends }, index) => [
    heads[index] ?? '',
    ...columns(
      backends.map(({ name, keys, bytes }) => [name, amountText({ keys, bytes })]),
      '       ',
    ),
  ]);
}
