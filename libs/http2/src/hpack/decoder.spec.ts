import { connect, type OutgoingHttpHeaders } from 'node:http2';
import { duplexPair } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { FrameReader } from '../frame-reader.js';
import { Flag, FrameType } from '../frames.js';
import { HpackDecoder } from './decoder.js';

type Pair = readonly [string, string];

function decodeWith(decoder: HpackDecoder, block: Buffer): Pair[] {
  const pairs: Pair[] = [];
  decoder.decode(block, 0, block.length, { field: ({ name, value }) => pairs.push([name, value]) });
  return pairs;
}

function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s/g, ''), 'hex');
}

/** `name value` per line. */
function pairs(text: string): Pair[] {
  return text.split('\n').map((line) => {
    const space = line.trim().indexOf(' ');
    return [line.trim().slice(0, space), line.trim().slice(space + 1)];
  });
}

const REQUESTS = [
  pairs(`:method GET
         :scheme http
         :path /
         :authority www.example.com`),
  pairs(`:method GET
         :scheme http
         :path /
         :authority www.example.com
         cache-control no-cache`),
  pairs(`:method GET
         :scheme https
         :path /index.html
         :authority www.example.com
         custom-key custom-value`),
];

const RESPONSES = [
  pairs(`:status 302
         cache-control private
         date Mon, 21 Oct 2013 20:13:21 GMT
         location https://www.example.com`),
  pairs(`:status 307
         cache-control private
         date Mon, 21 Oct 2013 20:13:21 GMT
         location https://www.example.com`),
  pairs(`:status 200
         cache-control private
         date Mon, 21 Oct 2013 20:13:22 GMT
         location https://www.example.com
         content-encoding gzip
         set-cookie foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1`),
];

/** A table of 256 bytes, as the responses of the appendix have it. */
const TABLE_OF_256 = '3fe101';

describe('HpackDecoder, RFC 7541 appendix C', () => {
  it.each<readonly [string, string, Pair]>([
    ['C.2.1', '400a6375 73746f6d 2d6b6579 0d637573 746f6d2d 68656164 6572', ['custom-key', 'custom-header']],
    ['C.2.2', '040c2f73 616d706c 652f7061 7468', [':path', '/sample/path']],
    ['C.2.3', '10087061 7373776f 72640673 65637265 74', ['password', 'secret']],
    ['C.2.4', '82', [':method', 'GET']],
  ])('reads %s', (_name, block, expected) => {
    expect(decodeWith(new HpackDecoder(), hex(block))).toEqual([expected]);
  });

  it.each<readonly [string, readonly string[], readonly Pair[][]]>([
    [
      'C.3',
      [
        '82868441 0f777777 2e657861 6d706c65 2e636f6d',
        '828684be 58086e6f 2d636163 6865',
        '828785bf 400a6375 73746f6d 2d6b6579 0c637573 746f6d2d 76616c75 65',
      ],
      REQUESTS,
    ],
    [
      'C.4',
      ['82868441 8cf1e3c2 e5f23a6b a0ab90f4 ff', '828684be 5886a8eb 10649cbf', '828785bf 408825a8 49e95ba9 7d7f8925 a849e95b b8e8b4bf'],
      REQUESTS,
    ],
    [
      'C.5',
      [
        `${TABLE_OF_256} 48033330 32580770 72697661 7465611d 4d6f6e2c 20323120 4f637420 32303133 2032303a 31333a32 3120474d
         546e1768 74747073 3a2f2f77 77772e65 78616d70 6c652e63 6f6d`,
        '48033330 37c1c0bf',
        `88c1611d 4d6f6e2c 20323120 4f637420 32303133 2032303a 31333a32 3220474d 54c05a04 677a6970 7738666f 6f3d4153
         444a4b48 514b425a 584f5157 454f5049 55415851 57454f49 553b206d 61782d61 67653d33 3630303b 20766572 73696f6e 3d31`,
      ],
      RESPONSES,
    ],
    [
      'C.6',
      [
        `${TABLE_OF_256} 48826402 5885aec3 771a4b61 96d07abe 941054d4 44a82005 95040b81 66e082a6 2d1bff6e 919d29ad 171863c7
         8f0b97c8 e9ae82ae 43d3`,
        '4883640e ffc1c0bf',
        `88c16196 d07abe94 1054d444 a8200595 040b8166 e084a62d 1bffc05a 839bd9ab 77ad94e7 821dd7f2 e6c7b335 dfdfcd5b
         3960d5af 27087f36 72c1ab27 0fb5291f 95873160 65c003ed 4ee5b106 3d5007`,
      ],
      RESPONSES,
    ],
  ])('reads the series %s with one table', (_name, blocks, expected) => {
    const decoder = new HpackDecoder();
    expect(blocks.map((block) => decodeWith(decoder, hex(block)))).toEqual(expected);
  });
});

describe('HpackDecoder, bounds', () => {
  it.each([
    ['index 0', '80'],
    ['an index beyond the tables', 'be'],
    ['an index far beyond them', 'ffffffff7f'],
    ['an integer of more than four bytes', 'ffffffffffff7f'],
    ['a block that ends in an integer', 'ff'],
    ['a block that ends in an integer behind its first byte', 'ff80'],
    ['a block that ends before the name', '40'],
    ['a block that ends before the value', '400161'],
    ['a text that goes beyond the end', '4001610561'],
    ['a name that the tables do not have', '7f00'],
    ['a table larger than announced', '3fe21f'],
    ['a table size update behind a field', '8220'],
    ['a Huffman text padded with zeros', '40016181f0'.replace('f0', '18')],
    ['a Huffman text with eight bits of padding', '400161821fff'],
    ['a Huffman text with EOS inside', '40016184ffffffff'],
  ])('refuses %s', (_name, block) => {
    expect(() => decodeWith(new HpackDecoder(), hex(block))).toThrow(/^invalid header block: /);
  });

  it('empties the table for an entry that is larger than it, and keeps reading', () => {
    const decoder = new HpackDecoder();
    decodeWith(decoder, hex('4001610162'));
    const large = Buffer.concat([hex('400163'), hex('7f811f'), Buffer.alloc(0x7f + 0xf81, 'x')]);
    expect(decodeWith(decoder, large)[0]?.[1]).toHaveLength(0x7f + 0xf81);
    expect(() => decodeWith(decoder, hex('be'))).toThrow('no table entry 62');
  });

  it('forgets everything when the table is made empty, and fills it again', () => {
    const decoder = new HpackDecoder();
    decodeWith(decoder, hex('4001610162'));
    expect(decodeWith(decoder, hex('20 3fe11f 4001630164 be'))).toEqual([
      ['c', 'd'],
      ['c', 'd'],
    ]);
    expect(() => decodeWith(decoder, hex('bf'))).toThrow('no table entry 63');
  });
});

describe('HpackDecoder and the encoder of nghttp2', () => {
  it('reads random headers of one connection', async () => {
    const below = numbers(7541);
    const [clientSide, serverSide] = duplexPair();
    const session = connect('http://localhost', { createConnection: () => clientSide });
    session.on('error', () => {});
    const sent: Pair[][] = [];
    for (let i = 0; i < 300; i++) {
      const headers = randomHeaders(below);
      sent.push(Object.entries(headers).flatMap(([name, value]) => [value].flat().map((each): Pair => [name, String(each)])));
      session.request(headers, { endStream: true }).on('error', () => {});
    }
    const decoder = new HpackDecoder();
    const received: Pair[][] = [];
    let block: Buffer[] = [];
    const reader = new FrameReader({
      isReading: true,
      lent: 0,
      frame: (type, flags, _id, bytes, start, end) => {
        if (type !== FrameType.Headers && type !== FrameType.Continuation) return;
        const from = type === FrameType.Headers && (flags & Flag.Priority) !== 0 ? start + 5 : start;
        block.push(Buffer.from(bytes.subarray(from, end)));
        if ((flags & Flag.EndHeaders) === 0) return;
        received.push(decodeWith(decoder, Buffer.concat(block)));
        block = [];
      },
    });
    // Node opens a hundred streams before it has the server's SETTINGS, and then as many as it likes.
    serverSide.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    await new Promise<void>((resolve) => {
      serverSide.on('data', (chunk: Buffer) => {
        reader.push(chunk);
        if (received.length === sent.length) resolve();
      });
    });
    expect(received).toEqual(sent);
    session.destroy();
  });
});

function randomHeaders(below: Below): OutgoingHttpHeaders {
  const names = ['user-agent', 'x-a', 'x-b', 'authorization', 'accept', 'grpc-timeout', 'token', 'date', 'x-long-name-of-a-field', 'te'];
  const headers: OutgoingHttpHeaders = {
    ':method': pick(below, ['POST', 'GET', 'PUT']),
    ':scheme': pick(below, ['http', 'https']),
    ':authority': pick(below, ['localhost:2379', '127.0.0.1:2379']),
    ':path': pick(below, ['/', '/etcdserverpb.KV/Range', '/etcdserverpb.KV/Txn', `/x/${below(1000)}`]),
  };
  for (let i = below(8); i > 0; i--) headers[pick(below, names)] = randomValue(below);
  if (headers['te'] !== undefined) headers['te'] = 'trailers';
  return headers;
}

function randomValue(below: Below): string {
  const length = pick(below, [0, 1, 5, 20, 100, below(10) === 0 ? 5000 : 3]);
  const codes = Array.from({ length }, () => (below(2) === 1 ? 0x61 + below(26) : 0x21 + below(0x5e)));
  return String.fromCharCode(...codes);
}

/** A whole number from 0 up to, not including, `bound`. */
type Below = (bound: number) => number;

/** A repeatable source of them (the linear congruence of Numerical Recipes). */
function numbers(seed: number): Below {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

function pick<T>(below: Below, values: readonly T[]): T {
  return values[below(values.length)] as T;
}
