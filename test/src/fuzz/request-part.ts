import { damaged, type Random, randomMessage } from '@harikube/etcd-api/spec';
import { setTimeout as delay } from 'node:timers/promises';
import { GrpcSession } from '../differential/grpc-session.js';
import { FuzzFinding, type FuzzPart, type FuzzTarget } from './fuzz-part.js';
import { RouterTarget } from './router-target.js';

/** Well-formed requests that no client makes, through a whole router. */
export const requestPart: FuzzPart = {
  name: 'requests',
  what: 'requests to every method of a router',
  start: async () => new RequestTarget(await RouterTarget.start()),
};

/** Method and request, of every one that is answered at once. */
const METHODS: readonly (readonly [path: string, type: string])[] = [
  ['/etcdserverpb.KV/Range', 'etcdserverpb.RangeRequest'],
  ['/etcdserverpb.KV/RangeStream', 'etcdserverpb.RangeRequest'],
  ['/etcdserverpb.KV/Put', 'etcdserverpb.PutRequest'],
  ['/etcdserverpb.KV/DeleteRange', 'etcdserverpb.DeleteRangeRequest'],
  ['/etcdserverpb.KV/Txn', 'etcdserverpb.TxnRequest'],
  ['/etcdserverpb.KV/Compact', 'etcdserverpb.CompactionRequest'],
  ['/etcdserverpb.Watch/Watch', 'etcdserverpb.WatchRequest'],
  ['/etcdserverpb.Lease/LeaseGrant', 'etcdserverpb.LeaseGrantRequest'],
  ['/etcdserverpb.Lease/LeaseRevoke', 'etcdserverpb.LeaseRevokeRequest'],
  ['/etcdserverpb.Lease/LeaseKeepAlive', 'etcdserverpb.LeaseKeepAliveRequest'],
  ['/etcdserverpb.Lease/LeaseTimeToLive', 'etcdserverpb.LeaseTimeToLiveRequest'],
  ['/etcdserverpb.Lease/LeaseLeases', 'etcdserverpb.LeaseLeasesRequest'],
  ['/etcdserverpb.Maintenance/Alarm', 'etcdserverpb.AlarmRequest'],
  ['/etcdserverpb.Maintenance/HashKV', 'etcdserverpb.HashKVRequest'],
  ['/etcdserverpb.Maintenance/Status', 'etcdserverpb.StatusRequest'],
  ['/v3lockpb.Lock/Unlock', 'v3lockpb.UnlockRequest'],
  ['/v3electionpb.Election/Leader', 'v3electionpb.LeaderRequest'],
  ['/v3electionpb.Election/Proclaim', 'v3electionpb.ProclaimRequest'],
  ['/v3electionpb.Election/Resign', 'v3electionpb.ResignRequest'],
];

/** What etcd answers: OK, UNKNOWN, INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED. */
const CODES: ReadonlySet<number> = new Set([0, 2, 3, 5, 8, 9, 11, 12]);
/** What gRPC answers to bytes that are no message. */
const MALFORMED = /^malformed request message: /;
const PATIENCE_MS = 20_000;
const REQUESTS_AT_ONCE = 4;

class RequestTarget implements FuzzTarget {
  readonly #session: GrpcSession;

  constructor(private readonly router: RouterTarget) {
    this.#session = new GrpcSession(router.address);
  }

  async execute(random: Random): Promise<void> {
    const requests = Array.from({ length: REQUESTS_AT_ONCE }, () => {
      const [path, type] = random.pick(METHODS);
      const message = randomMessage(type, random);
      return { path, message: random.below(10) === 0 ? damaged(message, random) : message };
    });
    await Promise.all(requests.map(({ path, message }) => this.#ask(path, message)));
  }

  async check(): Promise<void> {
    await this.router.check(Buffer.alloc(0));
  }

  async close(): Promise<void> {
    this.#session.close();
    await this.router.close();
  }

  async #ask(path: string, message: Buffer): Promise<void> {
    const late = delay(PATIENCE_MS, null, { ref: false });
    const outcome = await Promise.race([this.#session.exchange(path, [message]), late]);
    if (outcome === null) throw new FuzzFinding(`${path}: no answer within ${PATIENCE_MS} ms`, message);
    const { code, text } = outcome;
    if (!CODES.has(code) && !MALFORMED.test(text)) throw new FuzzFinding(`${path}: code ${code}: ${text}`, message);
  }
}
