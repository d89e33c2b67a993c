/**
 * Where requests of triggers may go. Who writes a trigger names its target, and the program may stand where the writer does not: beside the API
 * server, on a node with a metadata service, on a machine with things that listen on loopback. What a name means is looked up once for a connection,
 * every address is checked, and the connection goes to what was checked, so that a name cannot mean something else a moment later.
 */
import { lookup as lookUp } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { type Clock, systemClock } from '@harikube/kube';
import { buildConnector } from 'undici';

export interface Endpoint {
  /** A name or an address. */
  readonly host: string;
  readonly port: number;
}

export interface AddressPolicyOptions {
  /** What is allowed though it is refused otherwise: `10.0.0.0/8`, `127.0.0.1`, `127.0.0.1:8080`, `[::1]:8080`. Those that are none are left out. */
  readonly allowedTargets?: readonly string[];
  /** Where the API server answers. */
  readonly apiServers?: readonly Endpoint[];
  /** All addresses of a name. Absent: the machine's resolver. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  readonly clock?: Clock;
}

/** So long the addresses of an API server that has a name are taken for what they were. */
const SERVER_ADDRESSES_MS = 30_000;

/** The target of a request is one that triggers must not reach. */
export class AddressNotAllowedError extends Error {
  override readonly name = 'AddressNotAllowedError';
}

export type TlsOptions = Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'minVersion'>;

interface AllowedTarget {
  readonly addresses: BlockList;
  /** Null: all ports. */
  readonly port: number | null;
}

interface Family {
  readonly address: string;
  readonly family: 'ipv4' | 'ipv6';
}

interface RefusedAddresses {
  readonly what: string;
  readonly addresses: BlockList;
}

const REFUSED: readonly RefusedAddresses[] = [
  // Also what clouds use beside the link-local address.
  refused('a metadata service', '169.254.169.254/32', 'fd00:ec2::254/128', 'fd20:ce::254/128', '100.100.100.200/32', '168.63.129.16/32'),
  refused('a loopback address', '127.0.0.0/8', '::1/128'),
  refused('a link-local address', '169.254.0.0/16', 'fe80::/10'),
  // Linux connects to itself.
  refused('an unspecified address', '0.0.0.0/8', '::/128'),
];

export class AddressPolicy {
  readonly #allowed: readonly AllowedTarget[];
  readonly #apiServers: readonly Endpoint[];
  readonly #resolve: (host: string) => Promise<readonly string[]>;
  readonly #clock: Clock;
  /** By the names of API servers. */
  readonly #known = new Map<string, { readonly addresses: readonly string[]; readonly at: number }>();

  constructor({ allowedTargets = [], apiServers = [], resolve = resolveAll, clock = systemClock }: AddressPolicyOptions = {}) {
    this.#allowed = allowedTargets.flatMap((text) => allowedTarget(text) ?? []);
    this.#apiServers = apiServers;
    this.#resolve = resolve;
    this.#clock = clock;
  }

  /** The addresses of the host, all of which are allowed. Throws `AddressNotAllowedError`, or what the resolver says. */
  async addressesOf({ host, port }: Endpoint): Promise<readonly string[]> {
    const addresses = await this.#addressesOf(host);
    if (addresses.length === 0) throw new Error(`the name ${host} has no address`);
    const apiServers = await this.#apiServersAt(port);
    for (const address of addresses) {
      const target = familyOf(address);
      if (target === null) throw new AddressNotAllowedError(`${host} is no address that can be checked`);
      if (this.#allowed.some((allowed) => (allowed.port ?? port) === port && allowed.addresses.check(target.address, target.family)))
        continue;
      const shown = address === host ? address : `${host} (${address})`;
      const what = REFUSED.find(({ addresses: list }) => list.check(target.address, target.family))?.what;
      if (what !== undefined) throw new AddressNotAllowedError(`${shown} is ${what}, which triggers must not reach`);
      if (apiServers.check(target.address, target.family)) {
        throw new AddressNotAllowedError(`${shown} port ${port} is the API server, which triggers must not reach`);
      }
    }
    return addresses;
  }

  /** What undici's Agent connects with. */
  connector(tls: TlsOptions, timeoutMs: number): buildConnector.connector {
    const options = { ...tls, timeout: timeoutMs, allowH2: false, maxCachedSessions: 0 };
    return (target, callback) => {
      const host = target.hostname.replace(/^\[(.*)\]$/, '$1');
      const port = Number(target.port === '' ? (target.protocol === 'https:' ? 443 : 80) : target.port);
      this.addressesOf({ host, port }).then(
        (addresses) => buildConnector({ ...options, port, lookup: lookupOf(addresses) })({ ...target, hostname: host }, callback),
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
      );
    };
  }

  async #addressesOf(host: string): Promise<readonly string[]> {
    return isIP(host) === 0 ? await this.#resolve(host) : [host];
  }

  async #apiServersAt(port: number): Promise<BlockList> {
    const list = new BlockList();
    for (const server of this.#apiServers.filter((one) => one.port === port)) {
      for (const address of await this.#addressesOfServer(server.host)) {
        const found = familyOf(address);
        if (found !== null) list.addAddress(found.address, found.family);
      }
    }
    return list;
  }

  /** The addresses that are known last, when they cannot be told: a name that was never resolved leads nobody to the API server. */
  async #addressesOfServer(host: string): Promise<readonly string[]> {
    const known = this.#known.get(host);
    const at = this.#clock.monotonic();
    if (known !== undefined && at - known.at < SERVER_ADDRESSES_MS) return known.addresses;
    const addresses = await this.#addressesOf(host).catch(() => known?.addresses ?? []);
    this.#known.set(host, { addresses, at });
    return addresses;
  }
}

/** Why a text is not what `--allowed-targets` takes; null: it is. */
export function allowedTargetProblem(text: string): string | null {
  return allowedTarget(text) === null ? `"${text}" is neither a CIDR such as 10.0.0.0/8 nor ADDRESS:PORT such as 127.0.0.1:8080` : null;
}

function allowedTarget(text: string): AllowedTarget | null {
  const cidr = /^\[?([0-9a-fA-F:.]+)\]?\/(\d{1,3})$/.exec(text);
  if (cidr !== null) return targetOf(cidr[1] ?? '', Number(cidr[2]), null);
  if (isIP(text) !== 0) return targetOf(text, null, null);
  const [, address = '', port = ''] = /^\[([0-9a-fA-F:.]+)\]:(\d{1,5})$/.exec(text) ?? /^([\d.]+):(\d{1,5})$/.exec(text) ?? [];
  return Number(port) >= 1 && Number(port) <= 65_535 ? targetOf(address, null, Number(port)) : null;
}

function targetOf(address: string, prefix: number | null, port: number | null): AllowedTarget | null {
  const version = isIP(address);
  const bits = version === 4 ? 32 : 128;
  if (version === 0 || (prefix ?? 0) > bits) return null;
  const addresses = new BlockList();
  addresses.addSubnet(address, prefix ?? bits, version === 4 ? 'ipv4' : 'ipv6');
  return { addresses, port };
}

function refused(what: string, ...subnets: readonly string[]): RefusedAddresses {
  const addresses = new BlockList();
  for (const subnet of subnets) {
    const [address = '', prefix] = subnet.split('/');
    addresses.addSubnet(address, Number(prefix), isIP(address) === 4 ? 'ipv4' : 'ipv6');
  }
  return { what, addresses };
}

/** IPv4 addresses that are written in IPv6 are what they lead to: mapped (::ffff:0:0/96), compatible (::/96) and translated (64:ff9b::/96). */
function familyOf(address: string): Family | null {
  const [plain = ''] = address.split('%');
  const version = isIP(plain);
  if (version === 4) return { address: plain, family: 'ipv4' };
  if (version === 0) return null;
  // A URL writes an address in one form only, whose last 32 bits are two groups.
  const text = new URL(`http://[${plain}]/`).hostname.slice(1, -1);
  const [, high = '', low = ''] = /^(?:::ffff:|::|64:ff9b::)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(text) ?? [];
  if (low === '') return { address: text, family: 'ipv6' };
  const bits = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low, 16);
  return { address: [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.'), family: 'ipv4' };
}

function resolveAll(host: string): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    lookUp(host, { all: true, verbatim: true }, (error, found) => {
      if (error === null) resolve(found.map(({ address }) => address));
      else reject(error);
    });
  });
}

function lookupOf(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, { all: isAll = false }, callback) => {
    const [first] = all;
    if (isAll) callback(null, all);
    else callback(null, first?.address ?? '', first?.family);
  };
}
