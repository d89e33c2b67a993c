import { describe, expect, it } from '@jest/globals';
import { encodeGrpcMessage } from './grpc-message.js';

describe('a status text in a trailer', () => {
  it.each([
    ['', ''],
    ['etcdserver: "x" is away', 'etcdserver: "x" is away'],
    ['100% über\n', '100%25 %C3%BCber%0A'],
    [' note: ', '%20note:%20'],
    ['a  ', 'a %20'],
  ])('%j is %j, which reads back as the same', (text, encoded) => {
    expect(encodeGrpcMessage(text)).toBe(encoded);
    expect(decodeURIComponent(encoded)).toBe(text);
  });
});
