import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from './logger.js';
import { type Pem, selfSigned } from './spec/self-signed.js';
import { TlsFiles, type TlsPair } from './tls-files.js';

let folder: string;
let log: string;
const logger = createLogger({ format: 'plain', debug: true, destination: { write: (text) => (log += text) } });

function write({ cert, key }: Pem, into = folder): void {
  writeFileSync(join(into, 'tls.crt'), cert);
  writeFileSync(join(into, 'tls.key'), key);
}

const texts = ({ cert, key }: TlsPair): Pem => ({ cert: cert.toString(), key: key.toString() });
const errors = (): string[] => log.split('\n').filter((line) => line.includes(' ERROR '));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-tls-'));
  log = '';
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('TlsFiles', () => {
  it('reads the pair of a folder, by the names it is told', () => {
    const pair = selfSigned('one');
    writeFileSync(join(folder, 'server.pem'), pair.cert);
    writeFileSync(join(folder, 'server.key'), pair.key);
    expect(texts(TlsFiles.load({ folder, certName: 'server.pem', keyName: 'server.key', logger }).pair)).toEqual(pair);
  });

  it('says what is wrong with a pair that it cannot serve with, and shows nothing of it', () => {
    const load = (): unknown => TlsFiles.load({ folder, logger });
    expect(load).toThrow(/no TLS certificate to serve with: .*tls\.crt/);
    const one = selfSigned('one');
    write({ ...one, key: selfSigned('two').key });
    expect(load).toThrow(`${join(folder, 'tls.key')} is not the key of ${join(folder, 'tls.crt')}`);
    write({ ...one, key: 'secret' });
    expect(load).toThrow(/tls\.key does not hold a private key without a passphrase in PEM$/);
    write({ ...one, cert: 'secret' });
    expect(load).toThrow(/tls\.crt does not hold a certificate in PEM$/);
    expect(load).toThrow(expect.objectContaining({ name: 'ConfigError', exitCode: 2 }));
  });

  it('takes a replaced pair, and tells its listeners once', () => {
    write(selfSigned('one'));
    const files = TlsFiles.load({ folder, logger });
    const told: Pem[] = [];
    const stop = files.onChange((pair) => told.push(texts(pair)));
    files.check();
    expect(told).toEqual([]);
    const two = selfSigned('two');
    write(two);
    files.check();
    files.check();
    expect(told).toEqual([two]);
    expect(texts(files.pair)).toEqual(two);
    stop();
    write(selfSigned('three'));
    files.check();
    expect(told).toEqual([two]);
    expect(log).not.toContain('PRIVATE KEY');
  });

  it('keeps the pair before a broken one, and says so once', () => {
    const one = selfSigned('one');
    write(one);
    const files = TlsFiles.load({ folder, logger });
    writeFileSync(join(folder, 'tls.key'), selfSigned('two').key);
    files.check();
    files.check();
    expect(texts(files.pair)).toEqual(one);
    expect(errors()).toHaveLength(1);
    rmSync(join(folder, 'tls.crt'));
    files.check();
    expect(errors()).toHaveLength(2);
    const three = selfSigned('three');
    write(three);
    files.check();
    expect(texts(files.pair)).toEqual(three);
  });

  it('follows the link that the kubelet swaps, by itself', async () => {
    const [one, two] = [selfSigned('one'), selfSigned('two')];
    for (const [name, pair] of [
      ['..1', one],
      ['..2', two],
    ] as const) {
      mkdirSync(join(folder, name));
      write(pair, join(folder, name));
    }
    symlinkSync('..1', join(folder, '..data'));
    for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(folder, name));
    const files = TlsFiles.load({ folder, logger });
    const stop = new AbortController();
    files.start(stop.signal);
    try {
      const changed = new Promise<TlsPair>((resolve) => files.onChange(resolve));
      symlinkSync('..2', join(folder, '..data_tmp'));
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
      expect(texts(await changed)).toEqual(two);
    } finally {
      stop.abort();
    }
  });

  it('takes at the start what changed after the load', () => {
    write(selfSigned('one'));
    const files = TlsFiles.load({ folder, logger });
    const two = selfSigned('two');
    write(two);
    files.start();
    files.close();
    expect(texts(files.pair)).toEqual(two);
  });
});
