import { assemble, type Random } from '@harikube/etcd-api/spec';
import { FuzzFinding, type FuzzPart } from './fuzz-part.js';

/** gRPC's frames: lengths, flags, and chunks of every size. */
export const framingPart: FuzzPart = {
  name: 'framing',
  what: 'messages in frames of gRPC, cut anywhere',
  start: () => Promise.resolve({ execute, check: () => Promise.resolve(), close: () => Promise.resolve() }),
};

const MAX_RECEIVE_BYTES = 2 * 1024 * 1024;

function execute(random: Random): void {
  const frames: Buffer[] = [];
  const messages: Buffer[] = [];
  let error: string | null = null;
  for (let count = random.below(6); count > 0 && error === null; count--) {
    const message = random.bytes();
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    const damage = random.below(20);
    if (damage === 0) head[0] = 1 + random.below(255);
    if (damage === 1) head.writeUInt32BE(MAX_RECEIVE_BYTES + 1 + random.below(2 ** 31), 1);
    if (damage === 2) head.writeUInt32BE(message.length + 1 + random.below(1000), 1);
    frames.push(head, message);
    if (damage > 2) messages.push(message);
    else error = damage === 0 ? 'grpc: ' : damage === 1 ? 'grpc: received message larger than max' : 'incomplete';
  }
  const bytes = Buffer.concat(frames);
  const got = assemble(cut(bytes, random), random.bool() ? 'gzip' : undefined);
  const isSame =
    got.messages.length === messages.length && got.messages.every((message, i) => message.equals(messages[i] ?? Buffer.alloc(0)));
  const isExpected = error === null ? got.error === null : got.error?.startsWith(error) === true;
  if (!isSame || !isExpected) {
    throw new FuzzFinding(`${got.messages.length} messages and ${got.error} instead of ${messages.length} and ${error}`, bytes);
  }
}

function cut(bytes: Buffer, random: Random): Buffer[] {
  const chunks: Buffer[] = [];
  const most = random.pick([1, 7, 100, 20_000]);
  for (let from = 0; from < bytes.length;) {
    const to = Math.min(bytes.length, from + 1 + random.below(most));
    chunks.push(bytes.subarray(from, to));
    from = to;
  }
  return chunks;
}
