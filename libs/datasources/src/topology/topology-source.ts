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
  | { readonly type: 'http'; readonly url: string };

/** The text of a topology could not be had: nothing is known about its rules. */
export class TopologySourceError extends Error {
  override readonly name = 'TopologySourceError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
}

const FETCH_TIMEOUT_MS = 10_000;
/** A topology is a page of text; whatever is larger is something else. */
const MAX_BYTES = 1024 * 1024;

/** Reads `file://PATH`, `http://…` or `https://…`. Throws `TopologySourceError`. Relative paths are relative to `directory`. */
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
    case 'secret':
      throw new TopologySourceError(
        `"${shown}": a topology in a Kubernetes Secret is not supported in this version; write it to a file and use file://PATH`,
      );
    case undefined:
      throw new TopologySourceError(`"${shown}" has no scheme; write file://PATH or an http(s) URL`);
    default:
      throw new TopologySourceError(`"${shown}": unknown scheme "${scheme}"${didYouMean(scheme, ['file', 'http', 'https', 'secret'])}`);
  }
}

/** The source as messages name it: a path, or a URL without credentials. */
export function topologySourceName(source: TopologySource): string {
  return source.type === 'file' ? source.path : redactEndpoint(source.url);
}

/**
 * Reads and parses the topology once. Throws `TopologySourceError` when the source cannot be read and `TopologyError` when what
 * it holds cannot be used: never an empty topology in place of either.
 */
export async function loadTopology(source: TopologySource, options: ParseTopologyOptions = {}, signal?: AbortSignal): Promise<Topology> {
  const bytes = source.type === 'file' ? await readSourceFile(source.path, signal) : await fetchSource(source.url, signal);
  const name = topologySourceName(source);
  if (bytes.length > MAX_BYTES) {
    throw new TopologySourceError(`topology ${name} is larger than ${MAX_BYTES} bytes: it is not a topology`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new TopologySourceError(`topology ${name} is not UTF-8 text`, { cause: error });
  }
  return parseTopology(text, name, options);
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

async function fetchSource(url: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const shown = redactEndpoint(url);
  const timeout = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  const target = new URL(url);
  const headers = new Headers({ accept: 'application/yaml, text/yaml, */*' });
  // fetch() refuses credentials in a URL; they travel in a header.
  if (target.username !== '' || target.password !== '') {
    const credentials = `${decodeURIComponent(target.username)}:${decodeURIComponent(target.password)}`;
    headers.set('authorization', `Basic ${Buffer.from(credentials).toString('base64')}`);
    target.username = '';
    target.password = '';
  }
  try {
    const response = await fetch(target, { headers, signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]) });
    if (response.status !== 200) {
      await response.body?.cancel();
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
    return Buffer.concat(chunks);
  } catch (error) {
    if (error instanceof TopologySourceError) {
      throw error;
    }
    const reason = timeout.aborted ? `no answer within ${FETCH_TIMEOUT_MS / 1000} seconds` : networkReason(error);
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
