import { UnsupportedError } from '@harikube/keyspace';
import { encodeMemberListResponse, type MemberMessage } from '../codec/cluster.js';
import type { ResponseHeaderWriter } from '../codec/response-header.js';
import type { RouteTable } from '../transport/grpc-server.js';
import { refusedMethod } from './refused-method.js';

const REFUSED = ['MemberAdd', 'MemberRemove', 'MemberUpdate', 'MemberPromote'];

/** `etcdserverpb.Cluster`: one member. */
export class ClusterService {
  constructor(
    private readonly header: () => ResponseHeaderWriter,
    /** Asked for at each call: the addresses are known only once the listeners stand. */
    private readonly member: () => MemberMessage,
  ) {}

  routes(): RouteTable {
    return {
      '/etcdserverpb.Cluster/MemberList': {
        kind: 'unary',
        cancellable: true,
        handle: async () => encodeMemberListResponse(this.header(), this.member()),
      },
      ...Object.fromEntries(REFUSED.map((name) => [`/etcdserverpb.Cluster/${name}`, refusedMethod(new UnsupportedError(name))])),
    };
  }
}
