/*
 * etcd's messages (api/etcdserverpb/rpc.proto, v3lock.proto, v3election.proto, v3.6) as a table, and a codec that reads it: the codecs
 * under test must not judge themselves.
 */

/** Bytes are latin1 text, numbers are bigints. A field that is not on the wire is not there. */
export interface PlainMessage {
  readonly [field: string]: PlainValue;
}

export type PlainValue = bigint | boolean | string | PlainMessage | readonly PlainValue[];

interface FieldType {
  readonly name: string;
  readonly number: number;
  /** `int`, `bool`, `bytes`, `text`, or the name of a message. */
  readonly type: string;
  readonly isRepeated: boolean;
}

const TABLE = `
ResponseHeader cluster_id:1:int member_id:2:int revision:3:int raft_term:4:int
KeyValue key:1:bytes create_revision:2:int mod_revision:3:int version:4:int value:5:bytes lease:6:int
Event type:1:int kv:2:KeyValue prev_kv:3:KeyValue
RangeRequest key:1:bytes range_end:2:bytes limit:3:int revision:4:int sort_order:5:int sort_target:6:int serializable:7:bool keys_only:8:bool count_only:9:bool min_mod_revision:10:int max_mod_revision:11:int min_create_revision:12:int max_create_revision:13:int
RangeResponse header:1:ResponseHeader kvs:2:*KeyValue more:3:bool count:4:int
PutRequest key:1:bytes value:2:bytes lease:3:int prev_kv:4:bool ignore_value:5:bool ignore_lease:6:bool
PutResponse header:1:ResponseHeader prev_kv:2:KeyValue
DeleteRangeRequest key:1:bytes range_end:2:bytes prev_kv:3:bool
DeleteRangeResponse header:1:ResponseHeader deleted:2:int prev_kvs:3:*KeyValue
RequestOp request_range:1:RangeRequest request_put:2:PutRequest request_delete_range:3:DeleteRangeRequest request_txn:4:TxnRequest
ResponseOp response_range:1:RangeResponse response_put:2:PutResponse response_delete_range:3:DeleteRangeResponse response_txn:4:TxnResponse
Compare result:1:int target:2:int key:3:bytes version:4:int create_revision:5:int mod_revision:6:int value:7:bytes lease:8:int range_end:64:bytes
TxnRequest compare:1:*Compare success:2:*RequestOp failure:3:*RequestOp
TxnResponse header:1:ResponseHeader succeeded:2:bool responses:3:*ResponseOp
CompactionRequest revision:1:int physical:2:bool
CompactionResponse header:1:ResponseHeader
WatchRequest create_request:1:WatchCreateRequest cancel_request:2:WatchCancelRequest progress_request:3:WatchProgressRequest
WatchCreateRequest key:1:bytes range_end:2:bytes start_revision:3:int progress_notify:4:bool filters:5:*int prev_kv:6:bool watch_id:7:int fragment:8:bool
WatchCancelRequest watch_id:1:int
WatchProgressRequest
WatchResponse header:1:ResponseHeader watch_id:2:int created:3:bool canceled:4:bool compact_revision:5:int cancel_reason:6:text fragment:7:bool events:11:*Event
LeaseGrantRequest TTL:1:int ID:2:int
LeaseGrantResponse header:1:ResponseHeader ID:2:int TTL:3:int error:4:text
LeaseRevokeRequest ID:1:int
LeaseRevokeResponse header:1:ResponseHeader
LeaseKeepAliveRequest ID:1:int
LeaseKeepAliveResponse header:1:ResponseHeader ID:2:int TTL:3:int
LeaseTimeToLiveRequest ID:1:int keys:2:bool
LeaseTimeToLiveResponse header:1:ResponseHeader ID:2:int TTL:3:int grantedTTL:4:int keys:5:*bytes
LeaseLeasesRequest
LeaseStatus ID:1:int
LeaseLeasesResponse header:1:ResponseHeader leases:2:*LeaseStatus
HashKVRequest revision:1:int
HashKVResponse header:1:ResponseHeader hash:2:int compact_revision:3:int hash_revision:4:int
AlarmRequest action:1:int memberID:2:int alarm:3:int
AlarmMember memberID:1:int alarm:2:int
AlarmResponse header:1:ResponseHeader alarms:2:*AlarmMember
DefragmentRequest
DefragmentResponse header:1:ResponseHeader
LockRequest name:1:bytes lease:2:int
LockResponse header:1:ResponseHeader key:2:bytes
UnlockRequest key:1:bytes
UnlockResponse header:1:ResponseHeader
LeaderKey name:1:bytes key:2:bytes rev:3:int lease:4:int
CampaignRequest name:1:bytes lease:2:int value:3:bytes
CampaignResponse header:1:ResponseHeader leader:2:LeaderKey
LeaderRequest name:1:bytes
LeaderResponse header:1:ResponseHeader kv:2:KeyValue
ProclaimRequest leader:1:LeaderKey value:2:bytes
ProclaimResponse header:1:ResponseHeader
ResignRequest leader:1:LeaderKey
ResignResponse header:1:ResponseHeader
`;

const MESSAGES: ReadonlyMap<string, readonly FieldType[]> = new Map(
  TABLE.trim()
    .split('\n')
    .map((line) => {
      const [message = '', ...fields] = line.split(' ');
      return [message, fields.map(parseField)];
    }),
);

function parseField(text: string): FieldType {
  const [name = '', number = '', type = ''] = text.split(':');
  return { name, number: Number(number), type: type.replace('*', ''), isRepeated: type.startsWith('*') };
}

function fieldsOf(message: string): readonly FieldType[] {
  const fields = MESSAGES.get(message);
  if (fields === undefined) throw new Error(`there is no message ${message} in the table`);
  return fields;
}

/** Every field that is there goes on the wire, zero or not. */
export function encodeMessage(type: string, message: PlainMessage): Buffer {
  const parts: Buffer[] = [];
  for (const field of fieldsOf(type)) {
    const value = message[field.name];
    if (value === undefined) continue;
    const values = field.isRepeated ? (value as readonly PlainValue[]) : [value];
    for (const each of values) parts.push(encodeField(field, each));
  }
  return Buffer.concat(parts);
}

function encodeField({ number, type }: FieldType, value: PlainValue): Buffer {
  if (typeof value === 'bigint') return Buffer.concat([varint(BigInt(number) << 3n), varint(BigInt.asUintN(64, value))]);
  if (typeof value === 'boolean') return Buffer.concat([varint(BigInt(number) << 3n), varint(value ? 1n : 0n)]);
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : encodeMessage(type, value as PlainMessage);
  return Buffer.concat([varint((BigInt(number) << 3n) | 2n), varint(BigInt(bytes.length)), bytes]);
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

/** Fields of value 0 are left out, wherever they come from. Throws on a field that the table does not have. */
export function decodeMessage(type: string, bytes: Buffer): PlainMessage {
  const message: Record<string, PlainValue> = {};
  const fields = fieldsOf(type);
  let offset = 0;
  const number = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[offset++];
      if (byte === undefined) throw new Error(`a ${type} ends in a number`);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
  };
  while (offset < bytes.length) {
    const tag = number();
    const field = fields.find((candidate) => BigInt(candidate.number) === tag >> 3n);
    if (field === undefined) throw new Error(`a ${type} has the field ${tag >> 3n}, which the table does not have`);
    const read = number();
    let value: PlainValue;
    if ((tag & 7n) === 0n) value = field.type === 'bool' ? read !== 0n : read;
    else {
      const end = offset + Number(read);
      if (end > bytes.length) throw new Error(`a ${type} ends in the field ${field.name}`);
      const part = bytes.subarray(offset, end);
      offset = end;
      if (field.type === 'bytes') value = part.toString('latin1');
      else value = field.type === 'text' ? part.toString('utf8') : decodeMessage(field.type, part);
    }
    if (field.isRepeated) message[field.name] = [...((message[field.name] ?? []) as PlainValue[]), value];
    else if (value !== 0n && value !== false && value !== '') message[field.name] = value;
  }
  return message;
}

/** For people; long texts are cut. */
export function showMessage(value: unknown): string {
  return JSON.stringify(value, (_name, each: unknown) => {
    if (typeof each === 'bigint') return Number.isSafeInteger(Number(each)) ? Number(each) : `${each}`;
    return typeof each === 'string' && each.length > 80 ? `${each.slice(0, 40)}… (${each.length} bytes)` : each;
  });
}
