import { describe, expect, it } from '@jest/globals';
import type { InformerHandler } from '@harikube/kube';
import * as pem from './spec/certificates.js';
import { KeptLog } from './spec/kept-log.js';
import { type ConfigMap, TrustSource } from './trust-source.js';

const map = (data: Record<string, string>): ConfigMap => ({
  metadata: { name: 'extension-apiserver-authentication', namespace: 'kube-system' },
  data,
});
const good = map({ 'client-ca-file': pem.USERS_AUTHORITY, 'requestheader-username-headers': '["X-Remote-User"]' });

class PlayedConfigMaps {
  handler: InformerHandler<ConfigMap> = {};
  object: ConfigMap | undefined = good;

  get(): ConfigMap | undefined {
    return this.object;
  }

  addHandler(handler: InformerHandler<ConfigMap>): () => void {
    this.handler = handler;
    if (this.object !== undefined) handler.onAdd?.(this.object);
    return () => undefined;
  }
}

describe('TrustSource', () => {
  it('does not start without anything to believe', () => {
    const configMaps = new PlayedConfigMaps();
    configMaps.object = undefined;
    expect(() => new TrustSource(configMaps, new KeptLog()).start()).toThrow(
      'there is no ConfigMap kube-system/extension-apiserver-authentication',
    );
  });

  it('follows what is published, and tells of it', () => {
    const configMaps = new PlayedConfigMaps();
    const source = new TrustSource(configMaps, new KeptLog());
    source.start();
    const told: number[] = [];
    source.onChange(({ clientAuthorities }) => told.push(clientAuthorities.length));
    configMaps.handler.onUpdate?.(good, map({ 'client-ca-file': `${pem.USERS_AUTHORITY}${pem.INTERMEDIATE}` }));
    expect(source.trust.clientAuthorities).toHaveLength(2);
    expect(source.trust.usernameHeaders).toEqual(['X-Remote-User']);
    expect(told).toEqual([2]);
  });

  it('keeps what was good when it is damaged or deleted', () => {
    const configMaps = new PlayedConfigMaps();
    const log = new KeptLog();
    const source = new TrustSource(configMaps, log);
    source.start();
    const before = source.trust;
    configMaps.handler.onUpdate?.(good, map({ 'client-ca-file': 'damaged' }));
    configMaps.handler.onDelete?.(good);
    expect(source.trust).toEqual(before);
    expect(log.lines).toMatchObject([{ level: 'error', fields: { keys: ['client-ca-file'] } }]);
  });
});
