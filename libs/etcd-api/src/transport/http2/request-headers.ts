import { type HeaderField, HeaderKind, type HeaderSink } from '@harikube/http2';

/** The header of one request, checked as RFC 9113 section 8.3 wants it. One object serves all requests of a connection, one after another. */
export class RequestHeaders implements HeaderSink {
  method = '';
  path = '';
  contentType = '';
  grpcTimeout: string | undefined;
  grpcEncoding: string | undefined;
  /** -1 where the client does not tell. */
  contentLength = -1;
  isTooLarge = false;
  /** How many there are. */
  fields = 0;
  private scheme = '';
  private hasAuthority = false;
  private hasRegular = false;
  private hasPseudo = false;
  private isBroken = false;
  private bytes = 0;

  constructor(private readonly maxBytes: number) {}

  reset(): void {
    this.method = '';
    this.path = '';
    this.contentType = '';
    this.grpcTimeout = undefined;
    this.grpcEncoding = undefined;
    this.contentLength = -1;
    this.isTooLarge = false;
    this.fields = 0;
    this.scheme = '';
    this.hasAuthority = false;
    this.hasRegular = false;
    this.hasPseudo = false;
    this.isBroken = false;
    this.bytes = 0;
  }

  /** It begins a request that may be looked at. */
  get isRequest(): boolean {
    return !this.isBroken && this.method !== '' && this.scheme !== '' && this.path !== '';
  }

  /** It ends one: trailers have no pseudo fields. */
  get isTrailers(): boolean {
    return !this.isBroken && !this.hasPseudo;
  }

  field(field: HeaderField): void {
    this.fields++;
    this.bytes += field.size;
    if (this.bytes > this.maxBytes) {
      this.isTooLarge = true;
      return;
    }
    const { kind, value } = field;
    switch (kind) {
      case HeaderKind.Method:
        this.pseudo(this.method !== '');
        this.method = value;
        return;
      case HeaderKind.Scheme:
        this.pseudo(this.scheme !== '');
        this.scheme = value;
        return;
      case HeaderKind.Path:
        this.pseudo(this.path !== '' || value === '');
        this.path = value;
        return;
      case HeaderKind.Authority:
        this.pseudo(this.hasAuthority);
        this.hasAuthority = true;
        return;
      case HeaderKind.ContentType:
        this.contentType = value;
        break;
      case HeaderKind.ContentLength:
        this.setContentLength(value);
        break;
      case HeaderKind.GrpcTimeout:
        this.grpcTimeout = value;
        break;
      case HeaderKind.GrpcEncoding:
        this.grpcEncoding = value;
        break;
      case HeaderKind.Malformed:
        this.isBroken = true;
        break;
      case HeaderKind.Te:
      case HeaderKind.Other:
        break;
    }
    this.hasRegular = true;
  }

  /** Pseudo fields come once each, before all others. */
  private pseudo(isRepeated: boolean): void {
    this.hasPseudo = true;
    if (isRepeated || this.hasRegular) this.isBroken = true;
  }

  private setContentLength(value: string): void {
    const length = /^\d{1,15}$/.test(value) ? Number(value) : -1;
    if (length < 0 || (this.contentLength >= 0 && this.contentLength !== length)) this.isBroken = true;
    this.contentLength = length;
  }
}
