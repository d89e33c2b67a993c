import { leaveEtcd, type LeaveReport } from '@harikube/datasources';
import { type EtcdFlags, etcdOf, progressLines } from './adopt-etcd-access.js';
import { keysText } from './topology/amount.js';

/** Gives an etcd back, or says what that would change; resolves to the exit code. */
export async function leave(flags: EtcdFlags & { readonly yes: boolean }, write: (line: string) => void): Promise<number> {
  const { endpoint, settings } = etcdOf(flags);
  const plan = await leaveEtcd(endpoint, settings, { dryRun: true });
  for (const line of leaveLines(plan)) write(line);
  if (!flags.yes) {
    write('nothing was changed; give --yes to leave it');
    return 1;
  }
  const { location } = await leaveEtcd(endpoint, settings, { dryRun: false, onProgress: progressLines(write) });
  write(`${location} is a plain etcd again: give it to kube-apiserver in --etcd-servers`);
  return 0;
}

export function leaveLines({ location, keys, leases, revision, missingRevisions }: LeaveReport): readonly string[] {
  const raising =
    missingRevisions === 0
      ? [`  its revision is above ${revision} already, the last that the router handed out`]
      : [
          `  its revision is raised by ${missingRevisions} to ${revision}, the last that the router handed out: one txn for each number`,
          `  offline it is done at once: etcdctl snapshot save FILE, then etcdutl snapshot restore FILE --bump-revision ${missingRevisions} --mark-compacted`,
        ];
  return [
    `${location} holds ${keysText(keys)} and ${leases === 1 ? '1 lease' : `${leases} leases`}`,
    ...raising,
    '  every key is written once more, so that no resourceVersion steps back; leases become those of etcd again',
    '  what stands under harikube.io/ is removed',
  ];
}
