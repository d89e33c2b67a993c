import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { FileLock } from '@harikube/local-cluster';
import { EXAMPLES, LAUNCHER } from './repository.js';
import { SERVICE_COMMANDS } from './services.js';

describe('harikube', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'harikube-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const harikube = (...args: string[]) =>
    spawnSync(process.execPath, [LAUNCHER, ...args], {
      cwd: folder,
      env: { PATH: dirname(process.execPath), HOME: folder },
      encoding: 'utf8',
    });

  it.each([
    [['upp'], `harikube: unknown command 'upp' (Did you mean up?)\n`],
    [['topology', 'explan', 'pods'], `harikube: unknown command 'explan' (Did you mean explain?)\n`],
    [['up', '--prot', '1'], `harikube: unknown option '--prot' (Did you mean --port?)\n`],
    [['status', '--dta', 'x'], `harikube: unknown option '--dta' (Did you mean --data?)\n`],
    [['frobnicate'], `harikube: unknown command 'frobnicate'; see "harikube help"\n`],
    [['topology', 'check'], `harikube: missing required argument 'file'; see "harikube help"\n`],
    [
      ['up', '--port', '99999'],
      `harikube: option '--port <number>' argument '99999' is invalid. a port is a number from 1 to 65535; see "harikube help"\n`,
    ],
    [
      ['up', '--store', 'mongo'],
      `harikube: option '--store <kind>' argument 'mongo' is invalid. Allowed choices are router, etcd; see "harikube help"\n`,
    ],
  ])('refuses %j in one line', (args, line) => {
    expect(harikube(...args)).toMatchObject({ status: 2, stdout: '', stderr: line });
  });

  it('lists its commands', () => {
    const { status, stdout } = harikube('help');
    expect(status).toBe(0);
    for (const command of ['up', 'router', ...SERVICE_COMMANDS.map(({ name }) => name), 'topology', 'status', 'version'])
      expect(stdout).toMatch(new RegExp(`^ {2}${command}\\b`, 'm'));
    expect(stdout).not.toMatch(/^ {2}services\b/m);
    expect(harikube().stdout).toBe(stdout);
  });

  it('takes it in silence that nobody reads on', async () => {
    const child = spawn(process.execPath, [LAUNCHER, 'help'], { cwd: folder, env: { PATH: dirname(process.execPath), HOME: folder } });
    child.stdout.destroy();
    let said = '';
    child.stderr.on('data', (text: Buffer) => (said += text.toString()));
    expect([await once(child, 'close'), said]).toEqual([[0, null], '']);
  });

  describe('a service', () => {
    it.each(SERVICE_COMMANDS.map(({ name }) => name))('%s shows its flags, and refuses others with the nearest', (name) => {
      expect(harikube(name, '--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('--health-probe-bind-address=VALUE') });
      expect(harikube(name, '--namespce', 'x')).toMatchObject({
        status: 2,
        stdout: '',
        stderr: expect.stringMatching(/^harikube: unknown flag "--namespce".*--namespace/),
      });
    });

    it('reads the flags of several from a file, and says what is wrong with it', () => {
      const file = join(folder, 'services.json');
      expect(harikube('services')).toMatchObject({ status: 2, stderr: expect.stringContaining('takes one file') });
      expect(harikube('services', file)).toMatchObject({ status: 1, stderr: expect.stringContaining(file) });
      writeFileSync(file, '{"api-srver":[]}');
      expect(harikube('services', file)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('does not hold the flags of services'),
      });
      writeFileSync(file, '{"user-controller":["--debgu"]}');
      expect(harikube('services', file)).toMatchObject({ status: 2, stderr: expect.stringContaining('--debug') });
    });
  });

  it('prints the versions of what it runs', () => {
    expect(harikube('version').stdout).toMatch(
      /^harikube \d+\.\d+\.\d+ \(Kubernetes 1\.\d+\.\d+, etcd 3\.\d+\.\d+, Node v\d+\.\d+\.\d+\)\n$/,
    );
  });

  describe('up', () => {
    it('refuses --separate without the platform', () => {
      const { status, stderr } = harikube('up', '--bare', '--separate');
      expect(status).toBe(1);
      expect(stderr).toMatch(/^harikube: --separate has no meaning with --bare.*: leave one of them out\n$/);
    });

    it('refuses a topology file that is not there', () => {
      const { status, stderr } = harikube('up', '--topology', 'none.yaml');
      expect(status).toBe(1);
      expect(stderr).toMatch(/^harikube: the topology file .*none\.yaml does not exist: check --topology\n$/);
      expect(existsSync(join(folder, '.harikube'))).toBe(false);
    });

    it('refuses a topology on plain etcd', () => {
      const { status, stderr } = harikube('up', '--store', 'etcd', '--topology', join(EXAMPLES, 'topology.yaml'));
      expect(status).toBe(1);
      expect(stderr).toMatch(/^harikube: --topology has no meaning with --store etcd.*: leave one of them out\n$/);
    });

    it('refuses a busy port before anything is built or started, with the way out', async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const { status, stderr } = harikube('up', '--port', String(port));
      server.close();
      expect(status).toBe(1);
      expect(stderr).toBe(
        `harikube: port ${port} of 127.0.0.1 is in use: stop the program that listens there or choose another port with --port\n`,
      );
    });

    it('refuses a data folder that another one uses', () => {
      const lock = FileLock.try(join(folder, 'up.lock'));
      const { status, stderr } = harikube('up', '--data', folder);
      if (lock instanceof FileLock) lock.release();
      expect(status).toBe(1);
      expect(stderr).toContain(
        `"harikube up" runs on ${folder} already (process ${process.pid}): stop it first or choose another folder with --data`,
      );
    });

    it('refuses a data folder that is a file', () => {
      writeFileSync(join(folder, 'file'), '');
      const { status, stderr } = harikube('up', '--data', 'file');
      expect(status).toBe(1);
      expect(stderr).toMatch(/^harikube: .*file.*: choose another folder\n$/);
    });
  });

  describe('status', () => {
    it('says that nothing runs where nothing does', () => {
      const { status, stdout } = harikube('status');
      expect(status).toBe(1);
      expect(stdout).toContain('nothing runs on ');
    });
  });

  describe('topology', () => {
    it('names the rule and the database of a resource', () => {
      const { status, stdout } = harikube('topology', 'explain', 'users.product.webshop.harikube.info');
      expect(status).toBe(0);
      expect(stdout).toContain('database "user" (sqlite://./user.db) by rule 2');
    });

    it('names the rule and the database of a key', () => {
      const { stdout } = harikube('topology', 'explain', '/registry/product.webshop.harikube.info/emails/default/x');
      expect(stdout).toContain('database "email" (sqlite://./email.db) by rule 3');
    });

    it('names the default database of what no rule takes', () => {
      expect(harikube('topology', 'explain', '/registry/namespaces/default').stdout).toContain('database "main"');
    });

    it('finds the example sound', () => {
      expect(harikube('topology', 'check', join(EXAMPLES, 'topology.yaml'))).toMatchObject({ status: 0, stderr: '' });
    });

    it('reports every problem of a file with its line', () => {
      const file = join(folder, 'topology.yaml');
      writeFileSync(
        file,
        'backends:\n  - name: a\n    endpoint: sqlite://./a.db\n  - name: a\n    endpoint: redis://x\n    prefix: { prefix: pods }\n',
      );
      const { status, stderr } = harikube('topology', 'check', file);
      expect(status).toBe(1);
      expect(stderr).toContain(`${file}:2:`);
      expect(stderr).toContain(`${file}:4:`);
      expect(stderr).toContain(`${file}:5:`);
    });
  });
});
