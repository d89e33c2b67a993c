import { UnsupportedError, type Store } from '@harikube/keyspace';
import {
  AlarmAction,
  decodeAlarmRequest,
  decodeHashKvRequest,
  encodeHashKvResponse,
  encodeHashResponse,
  encodeStatusResponse,
} from '../codec/maintenance.js';
import type { ResponseHeaderWriter } from '../codec/response-header.js';
import type { RouteTable } from '../transport/grpc-server.js';
import type { Reply } from '../wire/reply.js';
import { WireReader } from '../wire/wire-reader.js';
import { writer } from '../wire/wire-writer.js';
import { refusedMethod } from './refused-method.js';

const REFUSED = ['Snapshot', 'MoveLeader', 'Downgrade'];

/** `etcdserverpb.Maintenance`. */
export class MaintenanceService {
  private readonly storageVersion: string;

  constructor(
    private readonly store: Store,
    private readonly header: () => ResponseHeaderWriter,
    /** The etcd version told to clients, which decide by it what they may use. */
    private readonly version: string,
  ) {
    const match = /^(\d+\.\d+)\.\d+(?:[-+].*)?$/.exec(version);
    if (match === null) throw new Error(`invalid etcd version "${version}": expected major.minor.patch`);
    this.storageVersion = `${match[1]}.0`;
  }

  routes(): RouteTable {
    return {
      '/etcdserverpb.Maintenance/Status': { kind: 'unary', cancellable: true, handle: () => this.status() },
      '/etcdserverpb.Maintenance/Alarm': { kind: 'unary', cancellable: true, handle: (message) => this.alarm(message) },
      '/etcdserverpb.Maintenance/HashKV': { kind: 'unary', cancellable: true, handle: (message) => this.hashKv(message) },
      '/etcdserverpb.Maintenance/Hash': { kind: 'unary', cancellable: true, handle: () => this.hash() },
      '/etcdserverpb.Maintenance/Defragment': { kind: 'unary', cancellable: true, handle: () => this.defragment() },
      ...Object.fromEntries(REFUSED.map((name) => [`/etcdserverpb.Maintenance/${name}`, refusedMethod(new UnsupportedError(name))])),
    };
  }

  private async status(): Promise<Reply> {
    const { revision, sizeBytes, sizeInUseBytes } = this.store.status();
    const { version, storageVersion } = this;
    return encodeStatusResponse(this.header(), { revision, version, storageVersion, sizeBytes, sizeInUseBytes });
  }

  /** Not comparable with etcd's, which is over the records of its own file. */
  private async hashKv(message: Buffer): Promise<Reply> {
    const revision = decodeHashKvRequest(new WireReader(message));
    return encodeHashKvResponse(this.header(), await this.store.hash(revision));
  }

  private async hash(): Promise<Reply> {
    return encodeHashResponse(this.header(), await this.store.hash(0n));
  }

  /** The databases take the space of what is removed again by themselves. etcd answers without a header. */
  private async defragment(): Promise<Reply> {
    return writer.reset().frame();
  }

  private async alarm(message: Buffer): Promise<Reply> {
    const { action } = decodeAlarmRequest(new WireReader(message));
    if (action === AlarmAction.Activate) throw new UnsupportedError('action ACTIVATE of an alarm request');
    // There is never one to be listed or to be taken back.
    if (action !== AlarmAction.Get && action !== AlarmAction.Deactivate) throw new UnsupportedError(`action ${action} of an alarm request`);
    return this.header().frame(this.store.status().revision);
  }
}
