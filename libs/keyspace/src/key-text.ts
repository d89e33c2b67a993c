/** Keys as map keys: one char a byte, so that comparing texts compares bytes. */
export function keyText(key: Buffer): string {
  return key.toString('latin1');
}

export function textKey(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
