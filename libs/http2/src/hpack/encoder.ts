import { STATIC_TABLE } from './static-table.js';

/** A name and a value to send; latin1, the name in lower case. */
export type HeaderPair = readonly [name: string, value: string];

/** Encodes fields so that they depend on no dynamic table and change none: a block may be kept and sent anywhere. */
export function encodeHeaders(pairs: readonly HeaderPair[]): Buffer {
  return Buffer.concat(pairs.map(encodePair));
}

/** RFC 7541 section 6.1 where the static table has the pair, else 6.2.2. */
function encodePair([name, value]: HeaderPair): Buffer {
  const whole = STATIC_TABLE.findIndex((field) => field.name === name && field.value === value) + 1;
  if (whole > 0) return integer(0x80, 0x7f, whole);
  const named = STATIC_TABLE.findIndex((field) => field.name === name) + 1;
  return Buffer.concat([integer(0, 0x0f, named), ...(named > 0 ? [] : [text(name)]), text(value)]);
}

/** RFC 7541 section 6.2.1: the pair goes to the dynamic table. */
function encodeIndexedPair([name, value]: HeaderPair): Buffer {
  const named = STATIC_TABLE.findIndex((field) => field.name === name) + 1;
  return Buffer.concat([integer(0x40, 0x3f, named), ...(named > 0 ? [] : [text(name)]), text(value)]);
}

const CONTENT_TYPE: HeaderPair = ['content-type', 'application/grpc'];
const STATUS_OK: HeaderPair = ['grpc-status', '0'];

const RESPONSE = encodeHeaders([[':status', '200'], CONTENT_TYPE]);
const OK_TRAILERS = encodeHeaders([STATUS_OK]);
const RESPONSE_INDEXED = Buffer.concat([encodeHeaders([[':status', '200']]), encodeIndexedPair(CONTENT_TYPE)]);
const OK_TRAILERS_INDEXED = encodeIndexedPair(STATUS_OK);
const FIRST_DYNAMIC = STATIC_TABLE.length + 1;
const RESPONSE_BY_PLACE = [0, 1].map((place) =>
  Buffer.concat([encodeHeaders([[':status', '200']]), integer(0x80, 0x7f, FIRST_DYNAMIC + place)]),
);
const OK_TRAILERS_BY_PLACE = [0, 1].map((place) => integer(0x80, 0x7f, FIRST_DYNAMIC + place));
const EMPTY_TABLE = integer(0x20, 0x1f, 0);

/** What the two pairs below take in a client's table. */
const TABLE_BYTES = [CONTENT_TYPE, STATUS_OK].reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);

/**
 * The two blocks that every good answer has, as one connection's client reads them. The two pairs go to its dynamic table
 * when they are first sent and nothing else ever does, so that each later block is one or two bytes, which the client reads without
 * making a string. Blocks must be sent in the order they were asked for.
 */
export class ResponseEncoder {
  /** Pairs put into the table, and the place among them, from the oldest on. */
  private pairs = 0;
  private contentTypeAt = -1;
  private statusAt = -1;
  private usesTable = true;
  private mustEmptyTable = false;

  /** SETTINGS_HEADER_TABLE_SIZE of the client. A table smaller than ours is not used at all (RFC 7541 section 4.2). */
  setTableSize(bytes: number): void {
    if (!this.usesTable || bytes >= TABLE_BYTES) return;
    this.usesTable = false;
    this.mustEmptyTable = true;
  }

  response(): Buffer {
    if (!this.usesTable) return this.plain(RESPONSE);
    if (this.contentTypeAt >= 0) return RESPONSE_BY_PLACE[this.pairs - 1 - this.contentTypeAt] as Buffer;
    this.contentTypeAt = this.pairs++;
    return RESPONSE_INDEXED;
  }

  okTrailers(): Buffer {
    if (!this.usesTable) return this.plain(OK_TRAILERS);
    if (this.statusAt >= 0) return OK_TRAILERS_BY_PLACE[this.pairs - 1 - this.statusAt] as Buffer;
    this.statusAt = this.pairs++;
    return OK_TRAILERS_INDEXED;
  }

  /** A block of `encodeHeaders`, at its place among the others. */
  plain(block: Buffer): Buffer {
    if (!this.mustEmptyTable) return block;
    this.mustEmptyTable = false;
    return emptyTableBlock(block);
  }
}

/** A block that uses no dynamic table, behind what empties it (RFC 7541 section 4.2). */
export function emptyTableBlock(block: Buffer): Buffer {
  return Buffer.concat([EMPTY_TABLE, block]);
}

/** RFC 7541 section 5.1. */
function integer(pattern: number, mask: number, value: number): Buffer {
  if (value < mask) return Buffer.from([pattern | value]);
  const bytes = [pattern | mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([integer(0, 0x7f, bytes.length), bytes]);
}
