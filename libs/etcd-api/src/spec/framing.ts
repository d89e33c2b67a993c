import { FrameAssembler, wholeMessage } from '../transport/frame-assembler.js';
import { GrpcError } from '../wire/grpc-status.js';

/** The messages that come out of these chunks, and the error that ends them. */
export function assemble(
  chunks: readonly Buffer[],
  encoding: string | undefined,
): { readonly messages: Buffer[]; readonly error: string | null } {
  const assembler = new FrameAssembler(encoding);
  const messages: Buffer[] = [];
  try {
    for (const chunk of chunks) {
      // As the socket does with its memory.
      const lent = Buffer.from(chunk);
      const whole = assembler.waitingBytes === 0 ? wholeMessage(lent, 0, lent.length) : null;
      if (whole !== null) messages.push(Buffer.from(whole));
      else {
        assembler.push(lent);
        for (let message = assembler.next(); message !== null; message = assembler.next()) messages.push(Buffer.from(message));
        assembler.keep();
      }
      lent.fill(0xaa);
    }
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    return { messages, error: error.message };
  }
  return { messages, error: assembler.waitingBytes === 0 ? null : 'incomplete' };
}
