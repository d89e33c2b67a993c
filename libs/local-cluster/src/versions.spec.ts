import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { ETCD_VERSION, GO_VERSION, KUBERNETES_VERSION } from './versions.js';

describe('the pinned versions', () => {
  const goMod = readFileSync(new URL('../kubernetes/go.mod', import.meta.url), 'utf8');
  const minor = KUBERNETES_VERSION.replace(/^1\./, '0.');

  it.each([
    ['k8s.io/kubernetes', KUBERNETES_VERSION],
    ['k8s.io/kubectl', minor],
    ['go.etcd.io/etcd/server/v3', ETCD_VERSION],
    ['go.etcd.io/etcd/etcdctl/v3', ETCD_VERSION],
  ])('are those of %s in go.mod', (module, version) => {
    expect(goMod).toMatch(new RegExp(`^\\s+${module.replaceAll('.', '\\.')} v${version.replaceAll('.', '\\.')}$`, 'm'));
  });

  it('name the Go that go.mod asks for', () => {
    expect(goMod).toMatch(new RegExp(`^go ${GO_VERSION.replaceAll('.', '\\.')}(\\.\\d+)?$`, 'm'));
  });
});
