import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '@harikube/platform';
import { type Pem, selfSigned } from '@harikube/platform/self-signed';
import { ListenerTlsFiles, type TlsContext } from './listener-tls-files.js';

const logger = createLogger({ format: 'plain', debug: false, destination: { write: () => undefined } });

describe('ListenerTlsFiles', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'harikube-listener-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const path = (name: string): string => join(folder, name);
  const load = (): ListenerTlsFiles =>
    new ListenerTlsFiles(
      { certFile: path('tls.crt'), keyFile: path('tls.key'), clientCaFile: path('ca.crt') },
      { what: 'a listener', flags: '--server', logger },
    );

  function write({ cert, key }: Pem, authority: Pem): void {
    writeFileSync(path('tls.crt'), cert);
    writeFileSync(path('tls.key'), key);
    writeFileSync(path('ca.crt'), authority.cert);
  }

  it('names the flags of files that are not there or hold something else', () => {
    expect(load).toThrow(
      `--server-cert-file=${path('tls.crt')} cannot be read: there is no such file\n--server-key-file=${path('tls.key')} cannot be read: there is no such file`,
    );
    const pair = selfSigned('one');
    write({ ...pair, key: 'secret' }, pair);
    expect(load).toThrow(
      `--server-cert-file=${path('tls.crt')} and --server-key-file=${path('tls.key')}: no TLS certificate to serve with: ${path('tls.key')} does not hold a private key`,
    );
    write(pair, pair);
    rmSync(path('ca.crt'));
    expect(load).toThrow(`--server-ca-file=${path('ca.crt')} cannot be read: there is no such file`);
  });

  it('tells what was replaced between the load and the start', () => {
    write(selfSigned('one'), selfSigned('callers'));
    const files = load();
    const [pair, authority] = [selfSigned('two'), selfSigned('other callers')];
    write(pair, authority);
    const told: TlsContext[] = [];
    files.start((context) => told.push(context));
    files.close();
    const { cert, key, ca } = told.at(-1) ?? files.context;
    expect([cert, key, ca].map(String)).toEqual([pair.cert, pair.key, authority.cert]);
    expect(told.length).toBeGreaterThan(0);
  });
});
