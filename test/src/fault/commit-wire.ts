/**
 * What the bytes between a router and its database are about: just enough of a protocol to know where in a commit a connection is, so that it
 * can be cut there. Understands plain connections only.
 */

/** A part of a commit that goes to the database. */
export type CommitMark =
  /** Opens the transaction. */
  | 'begin'
  /** Takes the meta row, which fences. */
  | 'meta'
  /** Writes keys. */
  | 'rows'
  /** Ends the transaction. */
  | 'commit'
  /** What the database says to that; the only one that comes from it. */
  | 'answer';

/** A whole message, or bytes between two. */
export interface Piece {
  readonly bytes: Buffer;
  /** All that this message does: a database may take a commit as one message. */
  readonly marks: ReadonlySet<CommitMark>;
}

/** Reads one connection. The pieces of a chunk are its bytes, in order; an unfinished message is kept until its rest has come. */
export interface CommitWire {
  fromRouter(chunk: Buffer): Piece[];
  fromDatabase(chunk: Buffer): Piece[];
}

const NO_MARKS: ReadonlySet<CommitMark> = new Set();

/** What a statement does; outside of a transaction it is a whole commit by itself when it takes the meta row. */
function statementMarks(sql: string, isOpen: boolean): ReadonlySet<CommitMark> {
  const marks = new Set<CommitMark>();
  if (/^\s*(BEGIN|START\s+TRANSACTION)\b/i.test(sql)) marks.add('begin');
  if (/\bUPDATE\s+\S*\bmeta\b/i.test(sql) && /last_revision/i.test(sql)) marks.add('meta');
  if (/\bINSERT\s+(IGNORE\s+)?INTO\s+\S*\blog\b/i.test(sql)) marks.add('rows');
  if (/(^|;)\s*COMMIT\b/i.test(sql)) marks.add('commit');
  if (marks.has('meta') && !isOpen && !marks.has('begin')) return new Set(['begin', 'meta', 'rows', 'commit']);
  return marks;
}

/** Cuts a stream of bytes into whole messages. */
class Messages {
  #rest: Buffer = Buffer.alloc(0);

  /** `length`: how long the message is that begins here; null when that cannot be told yet. */
  constructor(private readonly length: (bytes: Buffer) => number | null) {}

  take(chunk: Buffer): Buffer[] {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Buffer[] = [];
    for (let size = this.length(bytes); size !== null && size <= bytes.length; size = this.length(bytes)) {
      messages.push(bytes.subarray(0, size));
      bytes = bytes.subarray(size);
    }
    this.#rest = Buffer.from(bytes);
    return messages;
  }
}

/** What a startup message asks for; other messages without a type ask for encryption. */
const PROTOCOL_3 = 196_608;

/** https://www.postgresql.org/docs/current/protocol-message-formats.html */
export class PostgresWire implements CommitWire {
  #isStarted = false;
  #isOpen = false;
  #isCommitting = false;
  readonly #statements = new Map<string, string>();
  readonly #toServer = new Messages((bytes) => {
    if (this.#isStarted) return bytes.length < 5 ? null : 1 + bytes.readInt32BE(1);
    if (bytes.length < 8) return null;
    const length = bytes.readInt32BE(0);
    this.#isStarted = bytes.readInt32BE(4) === PROTOCOL_3 && bytes.length >= length;
    return length;
  });
  readonly #toClient = new Messages((bytes) => (bytes.length < 5 ? null : 1 + bytes.readInt32BE(1)));

  fromRouter(chunk: Buffer): Piece[] {
    return this.#toServer.take(chunk).map((bytes) => ({ bytes, marks: this.#marks(bytes) }));
  }

  fromDatabase(chunk: Buffer): Piece[] {
    if (!this.#isStarted) return [{ bytes: chunk, marks: NO_MARKS }];
    return this.#toClient.take(chunk).map((bytes) => {
      const isAnswer = this.#isCommitting && bytes[0] === 0x43 && /^(COMMIT|UPDATE|INSERT|SELECT)/.test(text(bytes, 5));
      if (isAnswer) this.#isCommitting = false;
      return { bytes, marks: isAnswer ? new Set<CommitMark>(['answer']) : NO_MARKS };
    });
  }

  #marks(bytes: Buffer): ReadonlySet<CommitMark> {
    const sql = this.#sqlOf(bytes);
    if (sql === null) return NO_MARKS;
    const marks = statementMarks(sql, this.#isOpen);
    if (marks.has('begin')) this.#isOpen = true;
    if (marks.has('commit')) {
      this.#isCommitting = true;
      this.#isOpen = false;
    } else if (/^\s*ROLLBACK/i.test(sql)) this.#isOpen = false;
    return marks;
  }

  /** The statement that a message asks for: Query by its text, Bind by the name that Parse gave it. */
  #sqlOf(bytes: Buffer): string | null {
    switch (String.fromCharCode(bytes[0] ?? 0)) {
      case 'Q':
        return text(bytes, 5);
      case 'P': {
        const name = text(bytes, 5);
        this.#statements.set(name, text(bytes, 5 + Buffer.byteLength(name) + 1));
        return null;
      }
      case 'B': {
        const portal = text(bytes, 5);
        return this.#statements.get(text(bytes, 5 + Buffer.byteLength(portal) + 1)) ?? null;
      }
      default:
        return null;
    }
  }
}

const COM_QUERY = 0x03;
const COM_STMT_PREPARE = 0x16;
const COM_STMT_EXECUTE = 0x17;

/** https://mariadb.com/kb/en/clientserver-protocol */
export class MysqlWire implements CommitWire {
  #isOpen = false;
  #isCommitting = false;
  #preparing: string | null = null;
  readonly #statements = new Map<number, string>();
  readonly #toServer = new Messages(packetLength);
  readonly #toClient = new Messages(packetLength);

  fromRouter(chunk: Buffer): Piece[] {
    return this.#toServer.take(chunk).map((bytes) => ({ bytes, marks: this.#marks(bytes) }));
  }

  fromDatabase(chunk: Buffer): Piece[] {
    return this.#toClient.take(chunk).map((bytes) => {
      if (this.#preparing !== null && bytes[4] === 0) {
        this.#statements.set(bytes.readUInt32LE(5), this.#preparing);
        this.#preparing = null;
      }
      const isAnswer = this.#isCommitting && bytes[4] === 0;
      if (this.#isCommitting) this.#isCommitting = false;
      return { bytes, marks: isAnswer ? new Set<CommitMark>(['answer']) : NO_MARKS };
    });
  }

  #marks(bytes: Buffer): ReadonlySet<CommitMark> {
    // A command begins a sequence; everything else belongs to the login.
    if (bytes[3] !== 0) return NO_MARKS;
    const command = bytes[4];
    if (command === COM_STMT_PREPARE) this.#preparing = bytes.toString('latin1', 5);
    if (command !== COM_QUERY && command !== COM_STMT_EXECUTE) return NO_MARKS;
    const sql = command === COM_QUERY ? bytes.toString('latin1', 5) : (this.#statements.get(bytes.readUInt32LE(5)) ?? '');
    const marks = statementMarks(sql, this.#isOpen);
    if (marks.has('begin')) this.#isOpen = true;
    if (marks.has('commit')) {
      this.#isCommitting = true;
      this.#isOpen = false;
    } else if (/^\s*ROLLBACK/i.test(sql)) this.#isOpen = false;
    return marks;
  }
}

function packetLength(bytes: Buffer): number | null {
  return bytes.length < 4 ? null : 4 + bytes.readUIntLE(0, 3);
}

const HTTP2_PREFACE = 24;
const FRAME_DATA = 0x0;
const FRAME_HEADERS = 0x1;
const FRAME_RESET = 0x3;
const END_STREAM = 0x1;

/** gRPC on HTTP/2: one Txn of etcd that writes is one commit. */
export class EtcdWire implements CommitWire {
  #isPrefaced = false;
  /** Bytes of the request's message that are still to come, by the streams of commits. */
  readonly #missing = new Map<number, number>();
  readonly #committing = new Set<number>();
  readonly #others = new Set<number>();
  readonly #toServer = new Messages((bytes) => {
    if (this.#isPrefaced) return frameLength(bytes);
    if (bytes.length < HTTP2_PREFACE) return null;
    this.#isPrefaced = true;
    return HTTP2_PREFACE;
  });
  readonly #toClient = new Messages(frameLength);

  fromRouter(chunk: Buffer): Piece[] {
    return this.#toServer.take(chunk).map((bytes) => ({ bytes, marks: this.#marks(bytes) }));
  }

  fromDatabase(chunk: Buffer): Piece[] {
    return this.#toClient.take(chunk).map((bytes) => {
      const { type, stream } = frameOf(bytes);
      const isAnswer = (type === FRAME_HEADERS || type === FRAME_DATA) && this.#committing.delete(stream);
      return { bytes, marks: isAnswer ? new Set<CommitMark>(['answer']) : NO_MARKS };
    });
  }

  #marks(bytes: Buffer): ReadonlySet<CommitMark> {
    // The preface reads as a frame of a type that is none of these.
    const { type, flags, stream } = frameOf(bytes);
    if (type === FRAME_RESET) this.#committing.delete(stream);
    if (type !== FRAME_DATA || this.#others.has(stream)) {
      if ((flags & END_STREAM) !== 0) this.#others.delete(stream);
      return NO_MARKS;
    }
    const data = bytes.subarray(9);
    const marks = new Set<CommitMark>();
    let missing = this.#missing.get(stream);
    if (missing === undefined) {
      if (data.length === 0) return NO_MARKS;
      if (!isWritingTxn(data)) {
        if ((flags & END_STREAM) === 0) this.#others.add(stream);
        return NO_MARKS;
      }
      missing = 5 + data.readUInt32BE(1);
      for (const mark of ['begin', 'meta', 'rows'] as const) marks.add(mark);
    }
    missing -= data.length;
    if (missing > 0) this.#missing.set(stream, missing);
    else if (this.#missing.delete(stream) || marks.size > 0) {
      marks.add('commit');
      this.#committing.add(stream);
      // Its end comes in a frame of its own.
      if ((flags & END_STREAM) === 0) this.#others.add(stream);
    }
    return marks;
  }
}

function frameLength(bytes: Buffer): number | null {
  return bytes.length < 9 ? null : 9 + bytes.readUIntBE(0, 3);
}

function frameOf(bytes: Buffer): { readonly type: number; readonly flags: number; readonly stream: number } {
  return { type: bytes[3] ?? 0xff, flags: bytes[4] ?? 0, stream: bytes.readUInt32BE(5) & 0x7fff_ffff };
}

/** First bytes of the fields of etcdserverpb.Compare, one of which it begins with: result, target, key. */
const COMPARE_TAGS: readonly (number | undefined)[] = [0x08, 0x10, 0x1a];

/**
 * Whether what is there of a message is an etcdserverpb.TxnRequest whose success holds a put or a deletion. One of which only compares are there
 * is taken for one.
 */
function isWritingTxn(data: Buffer): boolean {
  const length = data.readUInt32BE(1);
  const message = data.subarray(5);
  let offset = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[offset++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (offset < message.length) {
    const tag = message[offset++];
    const size = varint();
    const first = message[offset];
    // A compare: the first field of a range is its key instead.
    if (tag === 0x0a && COMPARE_TAGS.includes(first)) offset += size;
    // An operation of the success: a range, a put or a deletion.
    else if (tag === 0x12 && first === 0x0a) offset += size;
    else return tag === 0x12 && (first === 0x12 || first === 0x1a);
  }
  return message.length < length;
}

/** Up to the next zero. */
function text(bytes: Buffer, start: number): string {
  const end = bytes.indexOf(0, start);
  return bytes.toString('utf8', start, end < 0 ? bytes.length : end);
}
