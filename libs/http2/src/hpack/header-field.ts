/**
 * What a server of gRPC has to know about a field's name. A field of the dynamic table is looked at once, when it comes
 * in; the thousand requests that point to it after that find the answer here.
 */
export const HeaderKind = {
  Other: 0,
  Method: 1,
  Scheme: 2,
  Path: 3,
  Authority: 4,
  ContentType: 5,
  ContentLength: 6,
  Te: 7,
  GrpcTimeout: 8,
  GrpcEncoding: 9,
  /** No request may carry it (RFC 9113 sections 8.2 and 8.3). */
  Malformed: 10,
} as const;

export type HeaderKind = (typeof HeaderKind)[keyof typeof HeaderKind];

const KINDS: ReadonlyMap<string, HeaderKind> = new Map<string, HeaderKind>([
  [':method', HeaderKind.Method],
  [':scheme', HeaderKind.Scheme],
  [':path', HeaderKind.Path],
  [':authority', HeaderKind.Authority],
  ['content-type', HeaderKind.ContentType],
  ['content-length', HeaderKind.ContentLength],
  ['te', HeaderKind.Te],
  ['grpc-timeout', HeaderKind.GrpcTimeout],
  ['grpc-encoding', HeaderKind.GrpcEncoding],
  // Connection-specific fields have no meaning in HTTP/2 (RFC 9113 section 8.2.2).
  ['connection', HeaderKind.Malformed],
  ['proxy-connection', HeaderKind.Malformed],
  ['keep-alive', HeaderKind.Malformed],
  ['transfer-encoding', HeaderKind.Malformed],
  ['upgrade', HeaderKind.Malformed],
]);

/** What an entry costs beyond its bytes (RFC 7541 section 4.1). */
const ENTRY_OVERHEAD = 32;

/** A name and a value, as latin1 text, and what they mean. */
export class HeaderField {
  readonly kind: HeaderKind;
  readonly size: number;

  constructor(
    readonly name: string,
    readonly value: string,
  ) {
    this.size = name.length + value.length + ENTRY_OVERHEAD;
    this.kind = isValidValue(value) ? kindOf(name, value) : HeaderKind.Malformed;
  }
}

function kindOf(name: string, value: string): HeaderKind {
  const kind = KINDS.get(name);
  if (kind === undefined) return isValidName(name) ? HeaderKind.Other : HeaderKind.Malformed;
  return kind === HeaderKind.Te && value !== 'trailers' ? HeaderKind.Malformed : kind;
}

/** Printable and not upper case; a colon only stands before the pseudo fields above (RFC 9113 section 8.2.1). */
function isValidName(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f || code === 0x3a || (code >= 0x41 && code <= 0x5a)) return false;
  }
  return name.length > 0;
}

function isValidValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0 || code === 0x0a || code === 0x0d) return false;
  }
  return !isBlank(value.charCodeAt(0)) && !isBlank(value.charCodeAt(value.length - 1));
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
