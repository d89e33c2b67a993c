import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { isNativeError } from 'node:util/types';
import { didYouMean } from '@harikube/platform';
import { redactEndpoint } from './endpoint.js';
import { parseTopology, type ParseTopologyOptions } from './parse-topology.js';
import type { Topology } from './topology.js';

/** Where the topology's text comes from. */
export type TopologySource =
  | { readonly type: 'file'; readonly path: string }
  /** `url` may hold credentials. */
  | { readonly type: 'http'; readonly url: string }
  /** All keys of a Secret of Kubernetes. */
  | { readonly type: 'secret'; readonly namespace: string; readonly name: string };

/** The text of a topology could not be had: nothing is known about its rules. */
export class TopologySourceError extends Error {
  override readonly name = 'TopologySourceError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
}

/** A text, and by what its server tells whether it is still the one that was read; null: it gave none. */
export interface FetchedTopologyText {
  readonly text: string;
  readonly etag: string | null;
  readonly lastModified: string | null;
}

export interface FetchTopologyOptions {
  /** What was read before; it need not be sent again. */
  readonly known?: FetchedTopologyText | null;
  readonly signal?: AbortSignal | undefined;
  /** 10 s unless told. */
  readonly timeoutMs?: number;
}

const FETCH_TIMEOUT_MS = 10_000;
/** A topology is a page of text; whatever is larger is something else. */
const MAX_BYTES = 1024 * 1024;

const NAMESPACE = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const SECRET_NAME = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/;

/** Reads `file://PATH`, `http://…`, `https://…` or `secret://NAMESPACE/NAME`. Throws `TopologySourceError`. Relative paths are relative to `directory`. */
export function parseTopologySource(text: string, directory: string = process.cwd()): TopologySource {
  const shown = redactEndpoint(text);
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1]?.toLowerCase();
  const rest = scheme === undefined ? '' : text.slice(scheme.length + '://'.length);
  switch (scheme) {
    case 'file':
      if (rest === '') {
        throw new TopologySourceError(`"${shown}" names no file; write file://PATH`);
      }
      return { type: 'file', path: resolve(directory, rest) };
    case 'http':
    case 'https':
      if (!URL.canParse(text)) {
        throw new TopologySourceError(`"${shown}" is not a valid URL`);
      }
      return { type: 'http', url: text };
    case 'secret': {
      const [namespace = '', name = '', ...more] = rest.split('/');
      if (!NAMESPACE.test(namespace) || !SECRET_NAME.test(name) || more.length > 0) {
        throw new TopologySourceError(`"${shown}" names no Secret; write secret://NAMESPACE/NAME`);
      }
      return { type: 'secret', namespace, name };
    }
    case undefined:
      throw new TopologySourceError(`"${shown}" has no scheme; write file://PATH, an http(s) URL or secret://NAMESPACE/NAME`);
    default:
      throw new TopologySourceError(`"${shown}": unknown scheme "${scheme}"${didYouMean(scheme, ['file', 'http', 'https', 'secret'])}`);
  }
}

/** The source as messages name it: a path, a Secret, or a URL without credentials. */
export function topologySourceName(source: TopologySource): string {
  switch (source.type) {
    case 'file':
      return source.path;
    case 'http':
      return redactEndpoint(source.url);
    case 'secret':
      return `secret://${source.namespace}/${source.name}`;
  }
}

/**
 * Reads and parses the topology once. Throws `TopologySourceError` when the source cannot be read and `TopologyError` when what
 * it holds cannot be used: never an empty topology in place of either. A Secret is not read here: it takes Kubernetes' API.
 */
export async function loadTopology(source: TopologySource, options: ParseTopologyOptions = {}, signal?: AbortSignal): Promise<Topology> {
  return parseTopology(await readTopologyText(source, signal), topologySourceName(source), options);
}

/** The text of a file or a URL. Throws `TopologySourceError`. */
export async function readTopologyText(source: TopologySource, signal?: AbortSignal): Promise<string> {
  switch (source.type) {
    case 'file':
      return readTopologyFile(source.path, signal);
    case 'http':
      return (await fetchTopologyText(source.url, { signal })).text;
    case 'secret':
      throw new TopologySourceError(
        `${topologySourceName(source)} is read by a router that runs, through kube-apiserver; ask that router, or write the topology to a file and use file://PATH`,
      );
  }
}

/** Throws `TopologySourceError`. */
export async function readTopologyFile(path: string, signal?: AbortSignal): Promise<string> {
  return topologyTextOf(await readSourceFile(path, signal), path);
}

/** The text of bytes that are said to be a topology. Throws `TopologySourceError` with the name that is given. */
export function topologyTextOf(bytes: Uint8Array, name: string): string {
  if (bytes.length > MAX_BYTES) {
    throw new TopologySourceError(`topology ${name} is larger than ${MAX_BYTES} bytes: it is not a topology`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new TopologySourceError(`topology ${name} is not UTF-8 text`, { cause: error });
  }
}

async function readSourceFile(path: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  try {
    return await readFile(path, { signal });
  } catch (error) {
    const code = isNativeError(error) && 'code' in error ? error.code : undefined;
    const reason =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EACCES'
          ? 'this user may not read it'
          : code === 'EISDIR'
            ? 'it is a directory'
            : String(error);
    throw new TopologySourceError(`cannot read topology ${path}: ${reason}`, { cause: error });
  }
}

/** The known text itself when it is still the same. Throws `TopologySourceError`. */
export async function fetchTopologyText(
  url: string,
  { known = null, signal, timeoutMs = FETCH_TIMEOUT_MS }: FetchTopologyOptions = {},
): Promise<FetchedTopologyText> {
  const shown = redactEndpoint(url);
  const timeout = AbortSignal.timeout(timeoutMs);
  const target = new URL(url);
  const headers = new Headers({ accept: 'application/yaml, text/yaml, */*' });
  if (known !== null && known.etag !== null) headers.set('if-none-match', known.etag);
  if (known !== null && known.lastModified !== null) headers.set('if-modified-since', known.lastModified);
  const isAsked = headers.has('if-none-match') || headers.has('if-modified-since');
  try {
    // fetch() refuses credentials in a URL; they travel in a header.
    if (target.username !== '' || target.password !== '') {
      const credentials = `${decodeURIComponent(target.username)}:${decodeURIComponent(target.password)}`;
      headers.set('authorization', `Basic ${Buffer.from(credentials).toString('base64')}`);
      target.username = '';
      target.password = '';
    }
    const response = await fetch(target, { headers, signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]) });
    if (response.status !== 200) await response.body?.cancel();
    if (response.status === 304 && known !== null && isAsked) return known;
    if (response.status !== 200) {
      throw new TopologySourceError(`cannot read topology ${shown}: the server answered ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_BYTES) {
        break;
      }
    }
    const [etag, lastModified] = [response.headers.get('etag'), response.headers.get('last-modified')];
    return { text: topologyTextOf(Buffer.concat(chunks), shown), etag, lastModified };
  } catch (error) {
    if (error instanceof TopologySourceError) {
      throw error;
    }
    const reason = timeout.aborted ? `no answer within ${timeoutMs / 1000} seconds` : networkReason(error);
    throw new TopologySourceError(`cannot read topology ${shown}: ${reason}`, { cause: error });
  }
}

/** fetch() itself only says that it failed; the reason is the cause. */
function networkReason(error: unknown): string {
  if (!isNativeError(error)) {
    return String(error);
  }
  return isNativeError(error.cause) && error.cause.message !== '' ? error.cause.message : error.message;
}
