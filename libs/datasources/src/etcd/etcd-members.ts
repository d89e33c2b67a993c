import { status as code } from '@grpc/grpc-js';
import { RefusedDatabaseError } from '../database-errors.js';
import { addressText } from '../topology/endpoints/etcd.js';
import { EtcdCallError, type EtcdClient } from './etcd-client.js';
import type { StatusReply } from './etcd-messages.js';

const LEAST_VERSION = [3, 5] as const;

/**
 * Looks at every member that is named. Rejects with RefusedDatabaseError when one is not what a backend can be, and with another
 * error when none serves at the moment.
 */
export async function checkMembers(client: EtcdClient): Promise<void> {
  const answers = await Promise.allSettled(client.addresses.map((_, index) => client.status(index)));
  const told: StatusReply[] = [];
  for (const [index, answer] of answers.entries()) {
    if (answer.status === 'rejected') continue;
    const address = client.addresses[index];
    await checkMember(client, address === undefined ? client.location : addressText(address), answer.value);
    told.push(answer.value);
  }
  const [first] = told;
  if (first === undefined) throw (answers.find((answer) => answer.status === 'rejected') as PromiseRejectedResult).reason;
  if (told.some(({ clusterId }) => clusterId !== first.clusterId)) {
    throw new RefusedDatabaseError(`${client.location} names members of different clusters; name those of one`);
  }
  if (told.every(({ leader }) => leader === 0n)) throw new Error('it has no leader: too few of its members are there');
  const { alarms } = await client.alarms();
  if (alarms.some(({ type }) => type === 'CORRUPT')) {
    throw new RefusedDatabaseError(
      `${client.location} has raised the alarm CORRUPT: its members differ; restore it from a snapshot, then \`etcdctl alarm disarm\``,
    );
  }
  if (alarms.length > 0) {
    throw new Error(
      'it has raised the alarm NOSPACE and takes no writes: raise --quota-backend-bytes, or compact and defragment it, then `etcdctl alarm disarm`',
    );
  }
}

async function checkMember(client: EtcdClient, address: string, { version, isLearner, raftIndex, revision }: StatusReply): Promise<void> {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor < LEAST_VERSION[1])) {
    throw new RefusedDatabaseError(`etcd ${address} is of version ${version}; use etcd ${LEAST_VERSION.join('.')} or later`);
  }
  if (raftIndex === 0n) {
    throw new RefusedDatabaseError(
      `${address} is no etcd but another program that speaks its API, such as kine; name its database instead`,
    );
  }
  // etcd's log is longer than its history. A router has no log and tells its revision instead, and it has no HashKV.
  if (raftIndex === revision && (await isRouter(client, revision))) {
    throw new RefusedDatabaseError(
      `${address} is another router of HariKube, not an etcd; name the database behind it, or route to it from kube-apiserver by --etcd-servers-overrides`,
    );
  }
  if (isLearner) {
    throw new RefusedDatabaseError(
      `etcd ${address} is a learner, which answers no reads; promote it by \`etcdctl member promote\`, or name the voting members only`,
    );
  }
}

async function isRouter(client: EtcdClient, revision: bigint): Promise<boolean> {
  try {
    await client.hash(revision);
    return false;
  } catch (error) {
    return error instanceof EtcdCallError && error.code === code.UNIMPLEMENTED;
  }
}
