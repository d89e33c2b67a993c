import { writer, type WireWriter } from '../wire/wire-writer.js';

/** What every ResponseHeader says beside the revision. */
export interface Identity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly raftTerm: bigint;
}

/**
 * Writes `etcdserverpb.ResponseHeader` (cluster_id=1, member_id=2, revision=3, raft_term=4) as field 1 of a response.
 * Cluster and member id never change, so they are encoded once.
 */
export class ResponseHeaderWriter {
  private readonly identityBytes: Buffer;

  constructor(readonly identity: Identity) {
    const target = writer.reset();
    const start = target.position;
    target.int64(1, identity.clusterId);
    target.int64(2, identity.memberId);
    this.identityBytes = target.slice(start);
  }

  write(target: WireWriter, revision: bigint): void {
    const mark = target.begin(1);
    target.raw(this.identityBytes);
    target.int64(3, revision);
    target.int64(4, this.identity.raftTerm);
    target.end(mark);
  }

  /** A response that holds nothing but its header. */
  frame(revision: bigint): Buffer {
    this.write(writer.reset(), revision);
    return writer.frame();
  }
}

/** The header of an operation inside a txn: etcd fills in the revision alone. */
export function writeOperationHeader(target: WireWriter, revision: bigint): void {
  const mark = target.begin(1);
  target.int64(3, revision);
  target.end(mark);
}
