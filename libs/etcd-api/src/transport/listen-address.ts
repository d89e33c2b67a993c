import { isIP } from 'node:net';

/** Where a listener stands. `tls` is null where the address leaves it open: then it follows the TLS settings. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls: boolean | null }
  | { readonly kind: 'unix'; readonly path: string; readonly tls: boolean | null };

const SCHEMES: Readonly<Record<string, boolean | null>> = { tcp: null, http: false, https: true };

/**
 * Reads `host:port`, `tcp://`, `http://` or `https://host:port`, `unix://path` (`unix:///absolute`), `unixs://path`. A host
 * left out means all interfaces; IPv6 stands in brackets.
 */
export function parseListenAddress(text: string): ListenAddress {
  const scheme = /^([a-z]+):\/\//.exec(text)?.[1];
  const rest = scheme === undefined ? text : text.slice(scheme.length + 3);
  if (scheme === 'unix' || scheme === 'unixs') {
    if (rest === '') throw new Error(`invalid listen address "${text}": the path of the socket is missing`);
    return { kind: 'unix', path: rest, tls: scheme === 'unixs' };
  }
  const tls = scheme === undefined ? null : SCHEMES[scheme];
  if (tls === undefined) {
    throw new Error(`invalid listen address "${text}": scheme "${scheme}" is not one of tcp, http, https, unix, unixs`);
  }
  const match = /^(?:\[([^\]]*)\]|([^:/[\]]*)):(\d{1,5})\/?$/.exec(rest);
  if (match === null) throw new Error(`invalid listen address "${text}": expected host:port, an IPv6 host in brackets`);
  const [, bracketed, plain = '', digits] = match;
  if (bracketed !== undefined && isIP(bracketed) !== 6)
    throw new Error(`invalid listen address "${text}": "${bracketed}" is not an IPv6 address`);
  const port = Number(digits);
  if (port > 65535) throw new Error(`invalid listen address "${text}": port ${port} is above 65535`);
  return { kind: 'tcp', host: bracketed ?? plain, port, tls };
}

/** Only this machine reaches the address. */
export function isLocal(address: ListenAddress): boolean {
  if (address.kind === 'unix') return true;
  return address.host === 'localhost' || address.host === '::1' || (isIP(address.host) === 4 && address.host.startsWith('127.'));
}

/** The address as a client writes it. */
export function formatAddress(address: ListenAddress, tls: boolean): string {
  if (address.kind === 'unix') return `${tls ? 'unixs' : 'unix'}://${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${tls ? 'https' : 'http'}://${host}:${address.port}`;
}
