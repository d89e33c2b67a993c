import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { FakeClock } from '@harikube/kube/fake-clock';
import { Agent } from 'undici';
import { AddressNotAllowedError, AddressPolicy, allowedTargetProblem } from './address-policy.js';
import { TargetServer } from './spec/target-server.js';

/** A resolver that knows these names. */
function names(known: Readonly<Record<string, readonly string[]>>): (host: string) => Promise<readonly string[]> {
  return async (host) => {
    const addresses = known[host];
    if (addresses === undefined) throw new Error(`getaddrinfo ENOTFOUND ${host}`);
    return addresses;
  };
}

describe('AddressPolicy', () => {
  it.each([
    ['127.0.0.1', 'a loopback address'],
    ['127.255.255.254', 'a loopback address'],
    ['::1', 'a loopback address'],
    ['::ffff:127.0.0.1', 'a loopback address'],
    ['::ffff:7f00:1', 'a loopback address'],
    ['0:0:0:0:0:ffff:127.0.0.1', 'a loopback address'],
    ['::127.0.0.1', 'a loopback address'],
    ['64:ff9b::7f00:1', 'a loopback address'],
    ['169.254.1.2', 'a link-local address'],
    ['::ffff:169.254.1.2', 'a link-local address'],
    ['fe80::1', 'a link-local address'],
    ['fe80::1%eth0', 'a link-local address'],
    ['febf::1', 'a link-local address'],
    ['0.0.0.0', 'an unspecified address'],
    ['0.1.2.3', 'an unspecified address'],
    ['::', 'an unspecified address'],
    ['169.254.169.254', 'a metadata service'],
    ['::ffff:a9fe:a9fe', 'a metadata service'],
    ['fd00:ec2::254', 'a metadata service'],
    ['fd20:ce::254', 'a metadata service'],
    ['100.100.100.200', 'a metadata service'],
    ['168.63.129.16', 'a metadata service'],
  ])('refuses %s, which is %s', async (address, what) => {
    const policy = new AddressPolicy({ resolve: names({ 'a.example.com': [address] }) });
    await expect(policy.addressesOf({ host: address, port: 80 })).rejects.toThrow(`${address} is ${what}`);
    const refusal = await policy.addressesOf({ host: 'a.example.com', port: 80 }).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(AddressNotAllowedError);
    expect(refusal).toMatchObject({ message: `a.example.com (${address}) is ${what}, which triggers must not reach` });
  });

  it.each(['10.0.0.1', '192.168.1.1', '8.8.8.8', '128.0.0.1', '169.253.1.1', 'fec0::1', '2001:db8::1', '::ffff:10.0.0.1', 'fd00:ec2::253'])(
    'allows %s',
    async (address) => {
      expect(await new AddressPolicy().addressesOf({ host: address, port: 80 })).toEqual([address]);
    },
  );

  it('checks every address of a name', async () => {
    const policy = new AddressPolicy({ resolve: names({ mixed: ['10.0.0.1', '127.0.0.1'], fine: ['10.0.0.1', '10.0.0.2'], none: [] }) });
    await expect(policy.addressesOf({ host: 'mixed', port: 80 })).rejects.toThrow(AddressNotAllowedError);
    expect(await policy.addressesOf({ host: 'fine', port: 80 })).toEqual(['10.0.0.1', '10.0.0.2']);
    await expect(policy.addressesOf({ host: 'none', port: 80 })).rejects.toThrow('the name none has no address');
    await expect(policy.addressesOf({ host: 'unknown', port: 80 })).rejects.toThrow('ENOTFOUND');
  });

  it('refuses the API server at its port, by address and by name', async () => {
    const resolve = names({ 'api.example.com': ['203.0.113.7'], 'other.example.com': ['203.0.113.7'] });
    const apiServers = [
      { host: '10.96.0.1', port: 443 },
      { host: 'api.example.com', port: 6443 },
      { host: 'gone.example.com', port: 6443 },
    ];
    const policy = new AddressPolicy({ apiServers, resolve });
    await expect(policy.addressesOf({ host: '10.96.0.1', port: 443 })).rejects.toThrow('10.96.0.1 port 443 is the API server');
    await expect(policy.addressesOf({ host: '::ffff:10.96.0.1', port: 443 })).rejects.toThrow('is the API server');
    await expect(policy.addressesOf({ host: 'other.example.com', port: 6443 })).rejects.toThrow(
      'other.example.com (203.0.113.7) port 6443 is the API server',
    );
    expect(await policy.addressesOf({ host: '10.96.0.1', port: 80 })).toEqual(['10.96.0.1']);
    expect(await policy.addressesOf({ host: 'other.example.com', port: 443 })).toEqual(['203.0.113.7']);
  });

  it('follows the addresses of an API server that has a name, and keeps them when they cannot be told', async () => {
    const clock = new FakeClock();
    let addresses: string[] | null = ['203.0.113.7'];
    let asked = 0;
    const resolve = async (): Promise<string[]> => {
      asked++;
      if (addresses === null) throw new Error('getaddrinfo EAI_AGAIN');
      return addresses;
    };
    const policy = new AddressPolicy({ apiServers: [{ host: 'api.example.com', port: 6443 }], resolve, clock });
    const isRefused = (host: string): Promise<boolean> =>
      policy.addressesOf({ host, port: 6443 }).then(
        () => false,
        () => true,
      );
    expect([await isRefused('203.0.113.7'), await isRefused('203.0.113.8'), asked]).toEqual([true, false, 1]);
    addresses = ['203.0.113.8'];
    await clock.advance(30_000);
    expect([await isRefused('203.0.113.7'), await isRefused('203.0.113.8'), asked]).toEqual([false, true, 2]);
    addresses = null;
    await clock.advance(30_000);
    expect([await isRefused('203.0.113.8'), asked]).toEqual([true, 3]);
  });

  it.each([
    ['127.0.0.0/8', '127.0.0.1', 80, true],
    ['127.0.0.1', '127.0.0.1', 80, true],
    ['127.0.0.1/32', '127.0.0.2', 80, false],
    ['127.0.0.1:8080', '127.0.0.1', 8080, true],
    ['127.0.0.1:8080', '127.0.0.1', 8081, false],
    ['[::1]:8080', '::1', 8080, true],
    ['[::1]:8080', '::1', 8081, false],
    ['::1', '::1', 80, true],
    ['fe80::/10', 'fe80::1', 80, true],
    ['127.0.0.0/8', '::ffff:127.0.0.1', 80, true],
    ['127.0.0.0/8', '::1', 80, false],
    ['203.0.113.7:6443', '203.0.113.7', 6443, true],
    ['203.0.113.0/24', '203.0.113.7', 6443, true],
  ])('with %s allowed, %s port %d is allowed: %s', async (allowed, host, port, isAllowed) => {
    const policy = new AddressPolicy({ allowedTargets: [allowed], apiServers: [{ host: '203.0.113.7', port: 6443 }] });
    const result = policy.addressesOf({ host, port });
    if (isAllowed) expect(await result).toEqual([host]);
    else await expect(result).rejects.toThrow(AddressNotAllowedError);
  });

  it.each([
    '',
    'localhost',
    '127.0.0.1:0',
    '127.0.0.1:65536',
    '127.0.0.1:',
    '10.0.0.0/33',
    '::1/129',
    '[::1]',
    '300.0.0.1',
    '10.0.0.0/8:80',
  ])('takes %j for no target that can be allowed', (text) => {
    expect(allowedTargetProblem(text)).toContain(`"${text}" is neither a CIDR`);
  });

  it('takes CIDRs and addresses with ports', () => {
    for (const text of ['10.0.0.0/8', '127.0.0.1:8080', '[fe80::1]:1', '::1', 'fd00::/8']) expect(allowedTargetProblem(text)).toBeNull();
  });

  it('connects to what was checked, though the name means another thing a moment later', async () => {
    const target = await TargetServer.start();
    target.answers(204, { connection: 'close' });
    const inner = createServer((socket: Socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret'));
    await new Promise<void>((resolve) => inner.listen(target.port, '127.0.0.3', resolve));
    const answers = ['127.0.0.1', '127.0.0.3'];
    const asked: string[] = [];
    const policy = new AddressPolicy({
      allowedTargets: ['127.0.0.1'],
      resolve: async (host) => {
        asked.push(host);
        return [answers.shift() ?? ''];
      },
    });
    const agent = new Agent({ connect: policy.connector({}, 1000) });
    const origin = `http://rebind.example.com:${(inner.address() as AddressInfo).port}`;
    try {
      const first = await agent.request({ origin, path: '/', method: 'GET' });
      expect(first.statusCode).toBe(204);
      await first.body.dump();
      await expect(agent.request({ origin, path: '/', method: 'GET' })).rejects.toThrow(
        'rebind.example.com (127.0.0.3) is a loopback address',
      );
      expect([asked, target.received.length]).toEqual([['rebind.example.com', 'rebind.example.com'], 1]);
    } finally {
      await agent.close();
      await target.close();
      await new Promise((resolve) => inner.close(resolve));
    }
  });
});
