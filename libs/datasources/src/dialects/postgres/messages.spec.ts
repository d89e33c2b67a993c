import { describe, expect, it } from '@jest/globals';
import { decodeError, decodeRow, MessageReader, MessageWriter, sizeOfCall } from './messages.js';

function message(code: string, body: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.write(code);
  header.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

describe('MessageReader', () => {
  const bodies = [Buffer.alloc(0), Buffer.from('a'), Buffer.alloc(300, 'b'), Buffer.alloc(0), Buffer.from('tail')];
  const stream = Buffer.concat(bodies.map((body, i) => message('ABCDE'[i] ?? '', body)));
  const wanted = bodies.map((body, i) => `${'ABCDE'[i]}${body.toString()}`);

  function read(chunks: readonly Buffer[]): string[] {
    const found: string[] = [];
    const reader = new MessageReader((code, body) => found.push(String.fromCharCode(code) + body.toString()));
    for (const chunk of chunks) reader.push(chunk);
    return found;
  }

  it('finds the messages wherever the stream is cut', () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      expect(read([stream.subarray(0, cut), stream.subarray(cut)])).toEqual(wanted);
    }
  });

  it.each([1, 2, 3, 7, 100])('finds the messages in pieces of %i bytes', (size) => {
    const chunks = Array.from({ length: Math.ceil(stream.length / size) }, (_, i) => stream.subarray(i * size, (i + 1) * size));
    expect(read(chunks)).toEqual(wanted);
  });
});

describe('MessageWriter', () => {
  it('grows when more is written than was thought', () => {
    const call = {
      statement: { text: 'SELECT $1, $2', parameters: ['bytes', 'ints'], columns: [] },
      values: [Buffer.alloc(1000, 'x'), [1n, 2, -3n]],
    } as const;
    const [small, large] = [new MessageWriter(1), new MessageWriter(sizeOfCall(call))];
    for (const writer of [small, large]) {
      writer.parse('s1', call.statement);
      writer.bind('s1', call);
      writer.execute();
      writer.sync();
    }
    expect(small.take()).toEqual(large.take());
    const codes: string[] = [];
    new MessageReader((code) => codes.push(String.fromCharCode(code))).push(small.take());
    expect(codes.join('')).toBe('PBES');
  });
});

describe('decodeRow', () => {
  const column = (bytes: Buffer | null): Buffer => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(bytes === null ? -1 : bytes.length);
    return bytes === null ? length : Buffer.concat([length, bytes]);
  };

  it('reads numbers of any size, bytes, text and nulls', () => {
    const int8 = Buffer.alloc(8);
    int8.writeBigInt64BE(-(2n ** 60n));
    const columns = [int8, Buffer.from([0xff, 0xfe]), Buffer.from([0xff, 0x00]), Buffer.from('grün'), null];
    const body = Buffer.concat([Buffer.from([0, columns.length]), ...columns.map(column)]);
    expect(decodeRow(body, ['int', 'int', 'bytes', 'text', 'bytes'])).toEqual([-(2n ** 60n), -2n, Buffer.from([0xff, 0x00]), 'grün', null]);
  });

  it('refuses a row of another width', () => {
    expect(() => decodeRow(Buffer.from([0, 0]), ['int'])).toThrow(/0 columns, not 1/);
  });
});

describe('decodeError', () => {
  it('prefers the severity that is not translated', () => {
    const body = Buffer.from('SFEHLER\0VERROR\0C23505\0Mdoppelter Schlüssel\0nhead_pkey\0\0');
    expect(decodeError(body)).toEqual({ severity: 'ERROR', code: '23505', message: 'doppelter Schlüssel', constraint: 'head_pkey' });
  });
});
