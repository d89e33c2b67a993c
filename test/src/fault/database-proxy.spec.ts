import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { PostgresWire } from './commit-wire.js';
import { type CommitStep, type CommitTrap, DatabaseProxy } from './database-proxy.js';

const COMMIT = ['BEGIN', 'UPDATE meta SET last_revision = 7', 'INSERT INTO log VALUES (1)', 'COMMIT'];
const STARTUP = Buffer.from([0, 0, 0, 8, 0, 3, 0, 0]);

/** Takes whole statements of PostgreSQL's protocol and answers each with its first word. */
class FakeDatabase {
  readonly statements: string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Bytes of a statement that has not come whole. */
  left = 0;

  constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      let bytes = Buffer.alloc(0);
      let isStarted = false;
      socket.on('data', (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk]);
        if (!isStarted && bytes.length >= STARTUP.length) {
          isStarted = true;
          bytes = bytes.subarray(STARTUP.length);
        }
        while (bytes.length >= 5 && bytes.length >= 1 + bytes.readInt32BE(1)) {
          const statement = bytes.toString('utf8', 5, bytes.readInt32BE(1));
          bytes = bytes.subarray(1 + bytes.readInt32BE(1));
          this.statements.push(statement);
          socket.write(message('C', statement.split(' ')[0] ?? ''));
        }
        this.left = bytes.length;
      });
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return [...this.#sockets].filter(({ destroyed }) => !destroyed).length;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function message(type: string, text: string): Buffer {
  const head = Buffer.from(`${type}\0\0\0\0`);
  head.writeInt32BE(4 + text.length + 1, 1);
  return Buffer.concat([head, Buffer.from(`${text}\0`)]);
}

let database: FakeDatabase;
let proxy: DatabaseProxy;

beforeEach(async () => {
  database = new FakeDatabase();
  proxy = await DatabaseProxy.start(await database.listen(), () => new PostgresWire());
});

afterEach(async () => {
  await proxy.close();
  await database.close();
});

async function open(): Promise<{ readonly socket: Socket; readonly heard: () => string }> {
  const socket = connect(proxy.port, '127.0.0.1');
  let heard = '';
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
  await once(socket, 'connect');
  socket.write(STARTUP);
  return { socket, heard: () => heard };
}

/** One commit in one packet, as a router that does not wait for answers sends it. */
async function commit(trap: CommitTrap): Promise<string> {
  const sprung = proxy.disturb(trap);
  const { socket, heard } = await open();
  // Not `once`: the connection may end by an error.
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write(Buffer.concat(COMMIT.map((statement) => message('Q', statement))));
  await sprung;
  if (trap.disturbance === 'cut') await closed;
  return heard();
}

describe('a proxy that cuts a commit', () => {
  it.each<[CommitStep, number, boolean]>([
    ['before BEGIN', 0, false],
    ['after the meta row is taken', 2, false],
    ['inside the rows', 2, false],
    ['before COMMIT is sent', 3, false],
    ['before COMMIT is answered', 4, false],
    ['after COMMIT is answered', 4, true],
  ])('%s lets %i statements through, and the answer: %s', async (step, statements, isAnswered) => {
    const heard = await commit({ step, disturbance: 'cut' });
    expect(database.statements).toEqual(COMMIT.slice(0, statements));
    expect(database.left > 0).toBe(step === 'inside the rows');
    expect(heard.includes('COMMIT')).toBe(isAnswered);
    expect(proxy.connections).toBe(0);
  });

  it('leaves other connections alone, and lets the next commit pass', async () => {
    const other = await open();
    await commit({ step: 'before COMMIT is sent', disturbance: 'cut' });
    database.statements.length = 0;
    other.socket.write(Buffer.concat(COMMIT.map((statement) => message('Q', statement))));
    while (!other.heard().includes('COMMIT')) await once(other.socket, 'data');
    expect(database.statements).toEqual(COMMIT);
    other.socket.destroy();
  });

  it('tells nobody when it goes silent instead', async () => {
    await commit({ step: 'before COMMIT is answered', disturbance: 'vanish' });
    expect([database.statements.length, database.connections, proxy.connections]).toEqual([4, 1, 1]);
  });

  it('delivers a late COMMIT after the router has closed the connection', async () => {
    const sprung = proxy.disturb({ step: 'before COMMIT is sent', disturbance: 'late' });
    const { socket } = await open();
    socket.write(Buffer.concat(COMMIT.map((statement) => message('Q', statement))));
    await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
    await sprung;
    while (database.connections > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(database.statements).toEqual(COMMIT);
  });
});
