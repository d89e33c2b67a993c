import { describe, expect, it } from '@jest/globals';
import { type CommitWire, EtcdWire, MysqlWire, type Piece, PostgresWire } from './commit-wire.js';

const META = 'UPDATE meta SET last_revision = $1 WHERE epoch = $2';
const ROWS = 'INSERT INTO log (id) VALUES (1)';

function shown(pieces: readonly Piece[]): string[] {
  return pieces.map(({ marks }) => [...marks].join('+') || '-');
}

/** The same whatever the chunks are. */
function read(wire: CommitWire, bytes: Buffer, chunk: number): string[] {
  const marks: string[] = [];
  let passed = Buffer.alloc(0);
  for (let at = 0; at < bytes.length; at += chunk) {
    const pieces = wire.fromRouter(bytes.subarray(at, at + chunk));
    marks.push(...shown(pieces));
    passed = Buffer.concat([passed, ...pieces.map((piece) => piece.bytes)]);
  }
  expect(passed).toEqual(bytes);
  return marks;
}

describe.each([1, 7, 10_000])('the wires, in chunks of %i bytes', (chunk) => {
  it('know the steps of a commit in PostgreSQL, by text and by name', () => {
    const message = (type: string, ...parts: readonly string[]): Buffer => {
      const body = Buffer.from(parts.join('\0') + '\0');
      const head = Buffer.alloc(5);
      head.write(type);
      head.writeInt32BE(body.length + 4, 1);
      return Buffer.concat([head, body]);
    };
    const wire = new PostgresWire();
    const startup = Buffer.alloc(8);
    startup.writeInt32BE(8);
    startup.writeInt32BE(196_608, 4);
    wire.fromRouter(startup);
    const bytes = [
      message('Q', 'BEGIN'),
      message('P', 'm', META),
      message('B', '', 'm'),
      message('E', ''),
      message('Q', ROWS),
      message('Q', 'COMMIT'),
    ];
    expect(read(wire, Buffer.concat(bytes), chunk)).toEqual(['begin', '-', 'meta', '-', 'rows', 'commit']);
    expect(shown(wire.fromDatabase(message('C', 'COMMIT')))).toEqual(['answer']);
    expect(shown(wire.fromDatabase(message('C', 'COMMIT')))).toEqual(['-']);
    expect(read(wire, message('Q', META), chunk)).toEqual(['begin+meta+rows+commit']);
  });

  it('know the steps of a commit in MySQL, by text and by number', () => {
    const packet = (sequence: number, ...parts: readonly (Buffer | string)[]): Buffer => {
      const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
      const head = Buffer.alloc(4);
      head.writeUIntLE(body.length, 0, 3);
      head[3] = sequence;
      return Buffer.concat([head, body]);
    };
    const wire = new MysqlWire();
    expect(read(wire, Buffer.concat([packet(1, 'a login'), packet(0, '\x16', META)]), chunk)).toEqual(['-', '-']);
    wire.fromDatabase(packet(1, '\0', Buffer.from([9, 0, 0, 0])));
    const bytes = [
      packet(0, '\x03', 'START TRANSACTION'),
      packet(0, '\x17', Buffer.from([9, 0, 0, 0])),
      packet(0, '\x03', ROWS),
      packet(0, '\x03', 'COMMIT'),
    ];
    expect(read(wire, Buffer.concat(bytes), chunk)).toEqual(['begin', 'meta', 'rows', 'commit']);
    expect(shown(wire.fromDatabase(packet(1, '\0')))).toEqual(['answer']);
  });

  it('know a Txn of etcd that writes from one that reads', () => {
    const frame = (type: number, flags: number, stream: number, body: Buffer = Buffer.alloc(0)): Buffer => {
      const head = Buffer.alloc(9);
      head.writeUIntBE(body.length, 0, 3);
      head[3] = type;
      head[4] = flags;
      head.writeUInt32BE(stream, 5);
      return Buffer.concat([head, body]);
    };
    const message = (hex: string): Buffer => {
      const body = Buffer.from(hex, 'hex');
      const head = Buffer.alloc(5);
      head.writeUInt32BE(body.length, 1);
      return Buffer.concat([head, body]);
    };
    const put = message('0a051a036b657912091207' + '0a016b120276' + '31');
    const wire = new EtcdWire();
    const bytes = [
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      frame(1, 4, 1),
      frame(0, 0, 1, put.subarray(0, 12)),
      frame(0, 0, 1, put.subarray(12)),
      frame(0, 1, 1),
      frame(1, 4, 3),
      frame(0, 1, 3, message('0a032f612f12032f6130')),
      frame(1, 4, 5),
      frame(0, 1, 5, message('0a051a036b657912050a030a016b')),
      frame(1, 4, 7),
      frame(0, 1, 7, put),
    ];
    const marks = ['-', '-', 'begin+meta+rows', 'commit', '-', '-', '-', '-', '-', '-', 'begin+meta+rows+commit'];
    expect(read(wire, Buffer.concat(bytes), chunk)).toEqual(marks);
    expect(shown(wire.fromDatabase(Buffer.concat([frame(1, 4, 5), frame(1, 4, 1), frame(0, 0, 1)])))).toEqual(['-', 'answer', '-']);
  });
});
