import { damaged, DECODERS, type DecoderCase, judgeDecoder, type Random, randomMessage } from '@harikube/etcd-api/spec';
import { FuzzFinding, type FuzzPart } from './fuzz-part.js';

/** A message of a few kilobytes takes microseconds. */
const MAX_MILLISECONDS = 1000;

/** The decoders of requests, each beside the generic implementation. */
export const codecPart: FuzzPart = {
  name: 'codec',
  what: 'decoders of protobuf messages',
  start: () => Promise.resolve({ execute, check: () => Promise.resolve(), close: () => Promise.resolve() }),
};

function execute(random: Random): void {
  const decoder: DecoderCase = random.pick(DECODERS);
  const message = randomMessage(decoder.type, random);
  const startedAt = performance.now();
  for (const bytes of [message, damaged(message, random)]) {
    const problem = judgeDecoder(decoder, bytes);
    if (problem !== null) throw new FuzzFinding(problem, bytes);
  }
  const milliseconds = performance.now() - startedAt;
  if (milliseconds > MAX_MILLISECONDS) throw new FuzzFinding(`${decoder.type}: took ${milliseconds.toFixed(0)} ms`, message);
}
