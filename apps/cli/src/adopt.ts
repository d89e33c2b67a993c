import { adoptEtcd, type AdoptReport } from '@harikube/datasources';
import { type EtcdFlags, etcdOf, progressLines } from './adopt-etcd-access.js';
import { bytesText, keysText } from './topology/amount.js';

/** Most keys that are named one by one. */
const SHOWN_KEYS = 20;

/** Takes an etcd over, or says what that would change; resolves to the exit code. */
export async function adopt(flags: EtcdFlags & { readonly dryRun: boolean }, write: (line: string) => void): Promise<number> {
  const { endpoint, settings } = etcdOf(flags);
  const report = await adoptEtcd(endpoint, settings, { dryRun: flags.dryRun, onProgress: progressLines(write) });
  for (const line of adoptLines(report, flags.dryRun)) write(line);
  return 0;
}

export function adoptLines(report: AdoptReport, dryRun: boolean): readonly string[] {
  const { location, isAdopted, keys, bytes, leases, leasedKeys, tooLarge, revision, foreignRevisions } = report;
  const holds = `${keysText(keys)} (${bytesText(bytes)})`;
  if (isAdopted) return [`${location} is the router's already: ${holds}; there is nothing to do`];
  const large = tooLarge.slice(0, SHOWN_KEYS).map(({ key, bytes: size, isLeased }) => {
    return `  ${key} has ${size} bytes: ${isLeased ? 'it has a lease and cannot be put again, so the etcd cannot be adopted' : 'its next value has to be smaller'}`;
  });
  if (tooLarge.length > SHOWN_KEYS) large.push(`  and ${tooLarge.length - SHOWN_KEYS} more of that size`);
  const foreign =
    foreignRevisions > 0n ? [`  what somebody else wrote below the router in ${foreignRevisions} revisions becomes its newest writes`] : [];
  if (!dryRun) {
    return [
      `${location} is adopted: ${holds}, ${leases} leases; the router's clock starts above revision ${revision}`,
      ...foreign,
      ...large,
      `next: harikube router --endpoint=${location}, and kube-apiserver with the router in --etcd-servers`,
    ];
  }
  return [
    `${location} holds ${holds} at revision ${revision}`,
    '  every key keeps its value, revisions and version; its metadata is written beside it, under harikube.io/',
    `  ${leases} leases become the router's, with their ids and times; ${keysText(leasedKeys)} with a lease put again without it`,
    ...foreign,
    ...large,
    'nothing was changed; leave --dry-run out to adopt it',
  ];
}
