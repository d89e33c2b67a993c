import { listenReason } from '@harikube/platform';
import type { RouterConfig } from './router.config.js';

/** The etcd API cannot be served where it was told to be. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
  constructor(address: string, cause: unknown) {
    super(`cannot serve the etcd API on ${address}: ${listenReason(cause)}; choose another --listen-address, or end what uses this one`, {
      cause,
    });
  }
}

/** The address as the etcd server takes it. */
export function listenUrl({ listen, listenTls }: RouterConfig): string {
  if (listen.type === 'unix') return `${listenTls === null ? 'unix' : 'unixs'}://${listen.path}`;
  const host = listen.host === '' ? '0.0.0.0' : listen.host;
  return `${listenTls === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${listen.port}`;
}
