/**
 * A status text as the `grpc-message` trailer carries it: printable ASCII but `%` as it is, every other byte of its UTF-8
 * percent-encoded (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). So is a space at an end: a field with one
 * is malformed (RFC 9113, 8.2.1), and clients drop it.
 */
export function encodeGrpcMessage(text: string): string {
  if (/^(?! )[ -$&-~]*(?<! )$/.test(text)) return text;
  const bytes = Buffer.from(text, 'utf8');
  let encoded = '';
  for (const [i, byte] of bytes.entries()) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25 && !(byte === 0x20 && (i === 0 || i === bytes.length - 1));
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}
