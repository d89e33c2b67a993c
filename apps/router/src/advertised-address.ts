import { networkInterfaces } from 'node:os';
import type { ListenAddress } from '@harikube/etcd-api';

/**
 * HOST:PORT at which other routers reach the listener: as it is told, else as it listens. A listener on every address is found at the first
 * one of this machine that others can reach. Empty for a socket file: nobody else reaches it.
 */
export function advertisedAddress(given: string | null, addresses: readonly ListenAddress[], interfaces = networkInterfaces()): string {
  if (given !== null) return given;
  const [address] = addresses;
  if (address === undefined || address.kind === 'unix') return '';
  const host = EVERYWHERE.has(address.host) ? firstAddress(interfaces) : address.host;
  return `${host.includes(':') ? `[${host}]` : host}:${address.port}`;
}

const EVERYWHERE: ReadonlySet<string> = new Set(['', '0.0.0.0', '::']);

function firstAddress(interfaces: ReturnType<typeof networkInterfaces>): string {
  const all = Object.values(interfaces).flatMap((each = []) => each);
  // An address of the link alone (fe80::) is none without its interface.
  const others = all.filter(({ internal, address }) => !internal && !address.toLowerCase().startsWith('fe80:'));
  return (others.find(({ family }) => family === 'IPv4') ?? others[0])?.address ?? '127.0.0.1';
}
