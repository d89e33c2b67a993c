// Go's strings are bytes, and some functions count and cut them as such. A byte text is a string of one character (U+0000 to U+00FF) for each byte of
// UTF-8.

import { FunctionError } from '../template-function.js';

const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function byteText(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** Texts here are made of whole characters, so a part of one is refused. */
export function textOfBytes(bytes: string): string {
  return decoded(Buffer.from(bytes, 'latin1'));
}

/** Throws a FunctionError for bytes that are no UTF-8. */
export function decoded(bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes);
  } catch (error) {
    throw new FunctionError('the result is no UTF-8 (it may be cut inside of a character), which is not supported here', { cause: error });
  }
}
