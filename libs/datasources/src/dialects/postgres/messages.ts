import type { SqlCall, SqlRow, SqlStatement, SqlType, SqlValue } from '../sql/sql-connection.js';

/*
 * Messages of PostgreSQL's protocol, version 3 (doc: "Message Formats"), as far as prepared statements need them. Parameters
 * and rows are binary: pg reads every column as UTF-8 text, in which bytes are twice as long and copied twice.
 */

/** Object ids of PostgreSQL's types (pg_type.dat). */
const TYPES: Readonly<Record<SqlType, number>> = { int: 20, bytes: 17, text: 25, ints: 1016, bytesList: 1001 };

const LENGTH = 4;

/** Bytes that are sent at once, in one piece of memory. */
export class MessageWriter {
  #buffer: Buffer;
  #at = 0;

  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  take(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  parse(name: string, { text, parameters }: SqlStatement): void {
    const end = this.#begin('P');
    this.#cstring(name);
    this.#cstring(text);
    this.#int16(parameters.length);
    for (const type of parameters) this.#int32(TYPES[type]);
    end();
  }

  bind(name: string, { statement, values }: SqlCall): void {
    const end = this.#begin('B');
    this.#cstring(''); // the unnamed portal
    this.#cstring(name);
    this.#int16(1);
    this.#int16(1); // all parameters are binary
    this.#int16(values.length);
    values.forEach((value, i) => this.#value(value, statement.parameters[i]));
    this.#int16(1);
    this.#int16(1); // all columns are binary
    end();
  }

  execute(): void {
    const end = this.#begin('E');
    this.#cstring('');
    this.#int32(0); // all rows
    end();
  }

  sync(): void {
    this.#begin('S')();
  }

  /** One or more statements without parameters; what they answer is text. */
  query(text: string): void {
    const end = this.#begin('Q');
    this.#cstring(text);
    end();
  }

  #value(value: SqlValue, type: SqlType | undefined): void {
    if (value === null) {
      this.#int32(-1);
      return;
    }
    switch (type) {
      case 'int':
        this.#int64(value as bigint | number);
        break;
      case 'bytes':
        this.#bytes(value as Buffer);
        break;
      case 'text':
        this.#bytes(Buffer.from(value as string));
        break;
      case 'ints':
      case 'bytesList':
        this.#array(value as readonly (bigint | number | Buffer)[], type);
        break;
      case undefined:
        throw new Error('a statement has more values than parameters');
    }
  }

  /** One dimension, no nulls. */
  #array(values: readonly (bigint | number | Buffer)[], type: 'ints' | 'bytesList'): void {
    const at = this.#reserve(LENGTH);
    this.#int32(values.length === 0 ? 0 : 1);
    this.#int32(0);
    this.#int32(type === 'ints' ? TYPES.int : TYPES.bytes);
    if (values.length > 0) {
      this.#int32(values.length);
      this.#int32(1);
      for (const value of values) {
        if (typeof value === 'object') this.#bytes(value);
        else this.#int64(value);
      }
    }
    this.#buffer.writeInt32BE(this.#at - at - LENGTH, at);
  }

  #int64(value: bigint | number): void {
    this.#grow(LENGTH + 8);
    this.#at = this.#buffer.writeInt32BE(8, this.#at);
    this.#at = this.#buffer.writeBigInt64BE(BigInt(value), this.#at);
  }

  #bytes(bytes: Buffer): void {
    this.#grow(LENGTH + bytes.length);
    this.#at = this.#buffer.writeInt32BE(bytes.length, this.#at);
    this.#at += bytes.copy(this.#buffer, this.#at);
  }

  #int16(value: number): void {
    this.#grow(2);
    this.#at = this.#buffer.writeInt16BE(value, this.#at);
  }

  #int32(value: number): void {
    this.#grow(4);
    this.#at = this.#buffer.writeInt32BE(value, this.#at);
  }

  #cstring(text: string): void {
    const length = Buffer.byteLength(text);
    this.#grow(length + 1);
    this.#at += this.#buffer.write(text, this.#at);
    this.#buffer[this.#at++] = 0;
  }

  /** Begins a message; what it returns fills in the length. */
  #begin(code: string): () => void {
    this.#grow(1);
    this.#buffer[this.#at++] = code.charCodeAt(0);
    const at = this.#reserve(LENGTH);
    return () => this.#buffer.writeInt32BE(this.#at - at, at);
  }

  #reserve(bytes: number): number {
    this.#grow(bytes);
    const at = this.#at;
    this.#at += bytes;
    return at;
  }

  #grow(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#at + bytes, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}

/** About as many bytes as a call takes in messages. */
export function sizeOfCall({ statement, values }: SqlCall): number {
  let size = 64;
  for (const [i, value] of values.entries()) {
    size += 16;
    if (Buffer.isBuffer(value)) size += value.length;
    else if (typeof value === 'string') size += value.length * 3;
    else if (Array.isArray(value))
      size += sizeOfArray(value as readonly (bigint | number | Buffer)[], statement.parameters[i] === 'bytesList');
  }
  return size;
}

function sizeOfArray(values: readonly (bigint | number | Buffer)[], isBytes: boolean): number {
  let size = 20 + values.length * 12;
  if (isBytes) for (const value of values) size += (value as Buffer).length;
  return size;
}

/** One message of the server: its code and what follows its length, which is only valid until the next one. */
export type OnMessage = (code: number, body: Buffer) => void;

const HEADER = 1 + LENGTH;

/** Cuts what arrives into messages. A message that arrives in one piece is a slice of that. */
export class MessageReader {
  /** A message that has begun: as much of it as is there, in memory for the whole once its length is known. */
  #partial: Buffer | null = null;
  #have = 0;

  constructor(private readonly onMessage: OnMessage) {}

  push(chunk: Buffer): void {
    let at = this.#partial === null ? 0 : this.#complete(chunk);
    if (this.#partial !== null) return;
    while (chunk.length - at >= HEADER) {
      const end = at + 1 + chunk.readUInt32BE(at + 1);
      if (end > chunk.length) break;
      this.onMessage(chunk[at] as number, chunk.subarray(at + HEADER, end));
      at = end;
    }
    if (at < chunk.length) this.#keep(chunk.subarray(at));
  }

  #keep(rest: Buffer): void {
    const size = rest.length < HEADER ? HEADER : 1 + rest.readUInt32BE(1);
    this.#partial = Buffer.allocUnsafe(size);
    this.#have = rest.copy(this.#partial);
  }

  /** Goes on with the partial message, and returns where it ends in the chunk. */
  #complete(chunk: Buffer): number {
    let at = 0;
    for (;;) {
      const partial = this.#partial as Buffer;
      const copied = chunk.copy(partial, this.#have, at, at + partial.length - this.#have);
      this.#have += copied;
      at += copied;
      if (this.#have < partial.length) return at;
      const size = 1 + partial.readUInt32BE(1);
      if (size > partial.length) {
        this.#keep(partial);
        continue;
      }
      this.#partial = null;
      this.onMessage(partial[0] as number, partial.subarray(HEADER));
      return at;
    }
  }
}

/** The columns of a DataRow; bytes are slices of it. */
export function decodeRow(body: Buffer, columns: readonly SqlType[]): SqlRow {
  const count = body.readInt16BE(0);
  if (count !== columns.length) throw new Error(`a row has ${count} columns, not ${columns.length}`);
  const row = new Array<SqlValue>(count);
  let at = 2;
  for (let i = 0; i < count; i++) {
    const length = body.readInt32BE(at);
    at += LENGTH;
    if (length < 0) {
      row[i] = null;
      continue;
    }
    row[i] = decodeValue(body, at, length, columns[i] as SqlType);
    at += length;
  }
  return row;
}

function decodeValue(body: Buffer, at: number, length: number, type: SqlType): SqlValue {
  if (type === 'bytes') return body.subarray(at, at + length);
  if (type === 'text') return body.toString('utf8', at, at + length);
  if (type !== 'int') throw new Error('columns hold one value');
  return length === 8 ? body.readBigInt64BE(at) : BigInt(body.readIntBE(at, length));
}

/** The columns of a DataRow that a plain query answers. */
export function decodeTextRow(body: Buffer): (string | null)[] {
  const row: (string | null)[] = [];
  let at = 2;
  for (let i = body.readInt16BE(0); i > 0; i--) {
    const length = body.readInt32BE(at);
    at += LENGTH;
    row.push(length < 0 ? null : body.toString('utf8', at, at + length));
    at += Math.max(0, length);
  }
  return row;
}

/** What an ErrorResponse says. */
export interface ServerMessage {
  /** ERROR, FATAL or PANIC, in English. */
  readonly severity: string;
  /** SQLSTATE. */
  readonly code: string;
  readonly message: string;
  readonly constraint: string | null;
}

export function decodeError(body: Buffer): ServerMessage {
  const fields = new Map<string, string>();
  for (let at = 0; at < body.length && body[at] !== 0;) {
    const end = body.indexOf(0, at + 1);
    fields.set(String.fromCharCode(body[at] as number), body.toString('utf8', at + 1, end));
    at = end + 1;
  }
  return {
    severity: fields.get('V') ?? fields.get('S') ?? 'ERROR',
    code: fields.get('C') ?? '',
    message: fields.get('M') ?? 'the server gave no reason',
    constraint: fields.get('n') ?? null,
  };
}

/** The tag of CommandComplete: `UPDATE 1`, `COMMIT`. */
export function decodeTag(body: Buffer): string {
  return body.toString('latin1', 0, body.length - 1);
}
