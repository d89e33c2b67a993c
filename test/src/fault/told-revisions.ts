import type { Revision } from '@harikube/keyspace';
import { fieldsOf } from '@harikube/testing';
import type { TraceEvent } from './file-trace.js';

/** https://www.rfc-editor.org/rfc/rfc9113#section-4.1 */
const FRAME_HEAD_BYTES = 9;
const DATA = 0;
const PADDED = 8;
/** https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a flag and a length. */
const MESSAGE_HEAD_BYTES = 5;

/** What a traced router has told its clients by gRPC: the revisions of all headers and of all events. */
export class ToldRevisions {
  readonly #connections = new Map<string, Connection>();
  readonly #all = new Set<Revision>();
  #highest: Revision = 0n;

  /** Takes part in what the router does; whether something was told that nobody had been told. */
  follow({ type, call }: TraceEvent): boolean {
    // Told from the moment on in which the system has it. Its log goes to sockets of the first descriptors.
    if (type !== 'begun' || call.descriptor < 3 || !call.path.startsWith('socket:') || call.data.length === 0) return false;
    const known = this.#all.size;
    let connection = this.#connections.get(call.path);
    if (connection === undefined) this.#connections.set(call.path, (connection = new Connection()));
    for (const message of connection.read(call.data)) this.#read(message);
    return this.#all.size > known;
  }

  get highest(): Revision {
    return this.#highest;
  }

  has(revision: Revision): boolean {
    return this.#all.has(revision);
  }

  #read(message: Buffer): void {
    for (const { field, bytes } of fieldsOf(message)) {
      if (bytes === null) continue;
      if (field === 1) this.#add(revisionIn(bytes));
      const kv = field === 11 ? fieldsOf(bytes).find((each) => each.field === 2)?.bytes : null;
      if (kv !== null && kv !== undefined) this.#add(revisionIn(kv));
    }
  }

  #add(revision: Revision): void {
    this.#all.add(revision);
    if (revision > this.#highest) this.#highest = revision;
  }
}

/** Field 3 of a header, and of a KeyValue, too. */
function revisionIn(message: Buffer): Revision {
  return fieldsOf(message).find(({ field }) => field === 3)?.number ?? 0n;
}

/** What a server sends on one connection. */
class Connection {
  #pending: Buffer = Buffer.alloc(0);
  readonly #streams = new Map<number, Buffer>();

  /** The messages that are whole with these bytes. */
  read(bytes: Buffer): Buffer[] {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    const messages: Buffer[] = [];
    while (this.#pending.length >= FRAME_HEAD_BYTES) {
      const end = FRAME_HEAD_BYTES + this.#pending.readUIntBE(0, 3);
      if (this.#pending.length < end) break;
      const type = this.#pending.readUInt8(3);
      const flags = this.#pending.readUInt8(4);
      const stream = this.#pending.readUInt32BE(5) & 0x7fff_ffff;
      if (type === DATA && (flags & PADDED) !== 0) throw new Error('the router pads its frames');
      if (type === DATA) messages.push(...this.#readData(stream, this.#pending.subarray(FRAME_HEAD_BYTES, end)));
      this.#pending = this.#pending.subarray(end);
    }
    return messages;
  }

  #readData(stream: number, data: Buffer): Buffer[] {
    let rest = Buffer.concat([this.#streams.get(stream) ?? Buffer.alloc(0), data]);
    const messages: Buffer[] = [];
    while (rest.length >= MESSAGE_HEAD_BYTES) {
      const end = MESSAGE_HEAD_BYTES + rest.readUInt32BE(1);
      if (rest.length < end) break;
      messages.push(rest.subarray(MESSAGE_HEAD_BYTES, end));
      rest = rest.subarray(end);
    }
    if (rest.length === 0) this.#streams.delete(stream);
    else this.#streams.set(stream, rest);
    return messages;
  }
}
