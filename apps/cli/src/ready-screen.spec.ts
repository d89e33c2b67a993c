import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DataFolder, type RunningState } from './data-folder.js';
import { readyScreen } from './ready-screen.js';
import { PROGRAMS_FOLDER } from './repository.js';

const STATE: RunningState = {
  supervisor: { pid: 7, startedAt: '1' },
  startedAt: '2026-01-01T00:00:00Z',
  store: 'router',
  storeEndpoint: 'unix:///run/router.sock',
  routerHealthUrl: 'http://127.0.0.1:1',
  apiServerUrl: 'https://127.0.0.1:6443',
  isReady: true,
};

describe('the screen of harikube up', () => {
  let folder: DataFolder;
  beforeEach(() => {
    folder = new DataFolder(mkdtempSync(join(tmpdir(), "it's-")));
    mkdirSync(folder.databases);
    writeFileSync(join(folder.databases, 'main.db'), '');
  });
  afterEach(() => rmSync(folder.path, { recursive: true }));

  const screen = (state: RunningState, source = 'cache', at = folder): string =>
    readyScreen({ folder: at, state, topology: undefined, kubectl: { path: '/opt/kubectl', source } });

  it('quotes paths for a shell', () => {
    expect(screen(STATE)).toContain(`export KUBECONFIG='${folder.path.replace("'", `'\\''`)}/kubeconfig'\n`);
  });

  it('puts kubectl before and its plugins after what is on PATH', () => {
    const services = [{ name: 'platform', healthUrl: 'http://127.0.0.1:2' }];
    expect(screen({ ...STATE, services })).toContain(`export PATH=/opt:"$PATH":${PROGRAMS_FOLDER}\n`);
    expect(screen({ ...STATE, services }, 'PATH')).toContain(`export PATH="$PATH":${PROGRAMS_FOLDER}\n`);
    expect(screen(STATE)).toContain('export PATH=/opt:"$PATH"\n');
    expect(screen(STATE, 'PATH')).not.toContain('PATH=');
  });

  it('tells how to register a user where there is a platform, and nothing of it where there is none', () => {
    const services = [{ name: 'api-server', healthUrl: 'http://127.0.0.1:2' }];
    expect(screen({ ...STATE, services })).toMatch(
      /api-server +health and metrics at http:\/\/127\.0\.0\.1:2\/[^]*registrationrequest jane/,
    );
    expect(screen(STATE)).not.toContain('registrationrequest');
  });

  it('names the folder to the command that shows what runs, where it would look elsewhere', () => {
    const state = { ...STATE, services: [{ name: 'platform', healthUrl: 'http://127.0.0.1:2' }] };
    expect(screen(state)).toContain(`    npx harikube status --data '${folder.path.replace("'", `'\\''`)}'\n`);
    const usual = new DataFolder(join(realpathSync(mkdtempSync(join(tmpdir(), 'here-'))), '.harikube'));
    const before = process.cwd();
    try {
      mkdirSync(usual.databases, { recursive: true });
      process.chdir(dirname(usual.path));
      expect(screen(state, 'cache', usual)).toContain('    npx harikube status\n');
    } finally {
      process.chdir(before);
      rmSync(dirname(usual.path), { recursive: true });
    }
  });

  it('names the default database, and files beside it', () => {
    expect(screen(STATE)).toMatch(/databases +main\.db in /);
    expect(screen({ ...STATE, defaultDatabase: 'http://127.0.0.1:2379' })).toMatch(
      /databases +http:\/\/127\.0\.0\.1:2379 \(default\); main\.db in /,
    );
  });

  it('says when TopologyConfigs have no effect', () => {
    const state = { ...STATE, services: [{ name: 'platform', healthUrl: 'http://127.0.0.1:2' }] };
    const row = (topology: string, of = state as RunningState): string | undefined =>
      readyScreen({ folder, state: of, topology, kubectl: { path: '/opt/kubectl', source: 'cache' } })
        .split('\n')
        .find((line) => line.includes('topology '));
    expect(row('file:///rules.yaml')).toMatch(/file:\/\/\/rules\.yaml \(TopologyConfigs have no effect\)$/);
    expect(row('secret://harikube/topology-config')).toMatch(/topology-config$/);
    expect(row('file:///rules.yaml', STATE)).toMatch(/rules\.yaml$/);
  });

  it('names the etcd that stores everything', () => {
    const text = screen({ ...STATE, store: 'etcd', storeEndpoint: 'http://127.0.0.1:3' });
    expect(text).toContain('http://127.0.0.1:3, data in ');
    expect(text).not.toContain('router');
  });
});
