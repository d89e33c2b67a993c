import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { StoppedError, type WriterRecord, type WriterStatus } from '@harikube/keyspace';
import { createLogger } from '@harikube/platform';
import { parseRouterConfig } from './router.config.js';
import { WriterRole, type WriterTurn } from './writer-role.js';

const HELD: WriterStatus = { isHeld: true, epoch: 8n, millisecondsLeft: 5000, problem: '' };

let active: Server;
let lines: string[];
let role: WriterRole;

beforeEach(async () => {
  active = createServer().listen(0, '127.0.0.1');
  await once(active, 'listening');
  lines = [];
  const logger = createLogger({ format: 'plain', debug: false, destination: { write: (line) => lines.push(line) } });
  const config = parseRouterConfig(['--listen-address=127.0.0.1:0'], {});
  role = new WriterRole(config, { advertiseAddress: null, leaseMs: 1000 }, logger);
  await role.listen();
});

afterEach(async () => {
  await role.stop();
  active.close();
});

function record(address: string, epoch = 7n): WriterRecord {
  return { holder: `holder ${epoch}`, address, leaseMs: 1000, epoch, renewals: 3n, isReleased: false };
}

function addressOf(server: Server): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function connectTo(address: string): Promise<Socket> {
  const socket = connect({ port: Number(address.split(':')[1]), host: '127.0.0.1' });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** A turn that is waited for until `end`, or until the role is ended; then it may come to something all the same. */
function beginTurn(tooLate?: string): {
  readonly turn: WriterTurn;
  readonly end: (opened: string) => void;
  readonly closed: string[];
  readonly done: Promise<string>;
} {
  const gate = Promise.withResolvers<string>();
  const turns: WriterTurn[] = [];
  const closed: string[] = [];
  const done = role.takeTurn(
    (given) => {
      turns.push(given);
      given.signal.addEventListener('abort', () => (tooLate === undefined ? gate.reject(new StoppedError()) : gate.resolve(tooLate)));
      return gate.promise;
    },
    async (opened) => void closed.push(opened),
  );
  done.catch(() => undefined);
  const [turn] = turns;
  if (turn === undefined) throw new Error('it was not asked to open anything');
  return { turn, end: gate.resolve, closed, done };
}

describe('WriterRole', () => {
  it('tells others the address that it listens on, and is not ready before it knows who is active', async () => {
    const { turn, end, done } = beginTurn();
    const socket = await connectTo(turn.identity.address);
    expect(() => role.check()).toThrow('starting, it is not known yet who is active');
    expect(role.reading).toEqual({ isActive: false, epoch: 0n, takeovers: 0, forwarded: 0 });
    end('store');
    expect(await done).toBe('store');
    role.serve(() => HELD);
    expect([role.check(), role.reading.takeovers, lines]).toEqual(['active, epoch 8', 0, []]);
    socket.destroy();
  });

  it('stands by for whoever is active, says so once, and takes over', async () => {
    const { turn, end, done } = beginTurn();
    const forwarded = once(active, 'connection') as Promise<[Socket]>;
    turn.onWaiting(record(addressOf(active)));
    expect(role.check()).toBe(`standby, active is ${addressOf(active)}`);
    const socket = await connectTo(turn.identity.address);
    socket.write('bytes');
    const [far] = await forwarded;
    expect(String(await once(far, 'data'))).toBe('bytes');
    expect(role.reading).toEqual({ isActive: false, epoch: 7n, takeovers: 0, forwarded: 1 });
    end('store');
    await done;
    role.serve(() => HELD);
    expect(role.reading).toMatchObject({ isActive: true, epoch: 8n, takeovers: 1 });
    const said = lines.map((line) => line.replace(/^\S+ /, '').replace(/standbyMs=\d+/, 'standbyMs=N'));
    expect(said).toEqual([
      `INFO  standby: the router at ${addressOf(active)} (epoch 7) is active leaseMs=1000\n`,
      `INFO  took over from=${addressOf(active)} fromEpoch=7 epoch=8 standbyMs=N\n`,
    ]);
    socket.destroy();
    far.destroy();
  });

  it('is not ready while its lease has run out', async () => {
    const { end, done } = beginTurn();
    end('store');
    await done;
    role.serve(() => ({ isHeld: false, epoch: 8n, millisecondsLeft: 0, problem: 'the writer lease has run out' }));
    expect(() => role.check()).toThrow('the writer lease has run out');
    expect(role.reading).toMatchObject({ isActive: false, epoch: 8n });
  });

  it('knows no address of an active router that tells none', () => {
    const { turn } = beginTurn();
    turn.onWaiting(record(''));
    expect(role.check()).toBe('standby, active is an address that it does not tell');
  });

  it('waits for the lease of the router that was at its address before, and is not ready meanwhile', async () => {
    const { turn, end, done } = beginTurn();
    const { address } = turn.identity;
    turn.onWaiting(record(address));
    expect(() => role.check()).toThrow(`waiting for the lease of the router that was at ${address} before`);
    const socket = await connectTo(address);
    end('store');
    await done;
    role.serve(() => HELD);
    expect(lines.map((line) => /standby: .* \(epoch 7\)|took over/.exec(line)?.[0])).toEqual([
      `standby: the router that was at ${address} before this one (epoch 7)`,
      'took over',
    ]);
    socket.destroy();
  });

  it('says when the active address leads back to itself by another name', async () => {
    const { turn } = beginTurn();
    turn.onWaiting(record(turn.identity.address.replace('127.0.0.1', 'localhost')));
    const socket = await connectTo(turn.identity.address);
    while (lines.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(lines[1]).toMatch(/the active router advertises an address that leads to this one.*active=localhost:\d+/);
    socket.destroy();
  });

  it('closes what a turn has opened that came when it was ended', async () => {
    const { closed, done } = beginTurn('too late');
    await role.stop();
    expect([role.isStopping, closed]).toEqual([true, ['too late']]);
    await expect(done).rejects.toThrow(StoppedError);
  });
});
