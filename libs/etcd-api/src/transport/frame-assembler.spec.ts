import { describe, expect, it } from '@jest/globals';
import { FrameAssembler } from './frame-assembler.js';

function frameOf(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Gives a part and takes its memory back, as a socket does. */
function push(assembler: FrameAssembler, part: Buffer): Buffer[] {
  const lent = Buffer.from(part);
  const messages: Buffer[] = [];
  assembler.push(lent);
  for (let message = assembler.next(); message !== null; message = assembler.next()) messages.push(Buffer.from(message));
  assembler.keep();
  lent.fill(0xaa);
  return messages;
}

describe('FrameAssembler', () => {
  it('finds the same messages wherever the parts are cut', () => {
    const messages = ['one', '', 'a longer one', 'x'.repeat(1500)].map((text) => Buffer.from(text));
    const bytes = Buffer.concat(messages.map(frameOf));
    for (const size of [1, 2, 4, 5, 6, 7, 100, 1499, bytes.length]) {
      const assembler = new FrameAssembler(undefined);
      const found: Buffer[] = [];
      for (let from = 0; from < bytes.length; from += size) found.push(...push(assembler, bytes.subarray(from, from + size)));
      expect(found).toEqual(messages);
      expect([assembler.waitingBytes, assembler.heldBytes]).toEqual([0, 0]);
    }
  });

  it('holds little more than the bytes of a message that comes in single bytes, and never more than the message', () => {
    const assembler = new FrameAssembler(undefined);
    const frame = frameOf(Buffer.alloc(10_000, 'x'));
    for (let i = 0; i < 9000; i++) push(assembler, frame.subarray(i, i + 1));
    expect(assembler.waitingBytes).toBe(9000);
    expect(assembler.heldBytes).toBeLessThanOrEqual(frame.length + 512);
  });

  it('holds nothing of what is given up', () => {
    const assembler = new FrameAssembler(undefined);
    push(assembler, frameOf(Buffer.alloc(10_000)).subarray(0, 5000));
    assembler.discard();
    expect([assembler.waitingBytes, assembler.heldBytes]).toEqual([0, 0]);
  });
});
