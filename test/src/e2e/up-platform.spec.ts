import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { GROUP, REGISTRATION_EMAIL_TEMPLATE } from '@harikube/crds';
import { Binaries, freePort, silent } from '@harikube/local-cluster';
import { type Env, readEnv } from '@harikube/platform';
import { type Answer, answerOf } from './answer.js';
import { launchBrowser } from './browser.js';
import { Kubectl } from './kubectl.js';
import { UpProcess } from './up-process.js';

const MINUTES = 60_000;
const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));
const PLUGINS = fileURLToPath(new URL('../../../node_modules/.bin', import.meta.url));
const TOPOLOGY = fileURLToPath(new URL('../../../examples/topology.yaml', import.meta.url));
const PASSWORD = 'Plain-Canary-1';

let data: string;
let port: number;
let env: Env;
let kubectl: Kubectl;
let up: UpProcess;

/** `kubectl create registrationrequest` by way of kubectl itself, which looks for its plugin on PATH. */
function register(name: string, ...flags: string[]): Promise<Answer> {
  const person = ['--first-name=Jane', '--last-name=Doe', `--email=${name}@example.com`, '--phone-number=+36301234567'];
  const company = ['--country=HU', '--city=Budapest', '--address=Example street 1', '--postal-code=1011'];
  return kubectl.run(['create', 'registrationrequest', name, '--password-stdin', ...person, ...company, ...flags], PASSWORD);
}

function status(): Promise<Answer> {
  return answerOf(process.execPath, [LAUNCHER, 'status', '--data', data], { env });
}

/** Live keys below a prefix in each database file, read while the router runs. */
function keysByFile(prefix: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const file of ['main.db', 'tenant.db', 'user.db', 'email.db']) {
    const database = new DatabaseSync(join(data, 'db', file), { readOnly: true });
    const row = database.prepare('SELECT count(*) AS keys FROM records WHERE key LIKE ?').get(`/registry/${prefix}%`);
    const keys = Number(row?.['keys']);
    if (keys > 0) counts[file] = keys;
    database.close();
  }
  return counts;
}

/** Namespace and name of the User with the address that `register` gives. */
async function userOf(name: string): Promise<{ readonly namespace: string; readonly user: string }> {
  const selector = `spec.email=${name}@example.com`;
  const format = 'jsonpath={.items[*].metadata.namespace} {.items[*].metadata.name}';
  const [namespace = '', user = ''] = (await kubectl.read(['get', 'users', '-A', '--field-selector', selector, '-o', format])).split(' ');
  return { namespace, user };
}

async function stopCleanly(): Promise<void> {
  expect(await up.stop()).toBe(0);
  expect(up.output.filter((line) => line.includes('was killed'))).toEqual([]);
}

async function platformPid(): Promise<number> {
  const record = JSON.parse(await readFile(join(data, 'run', 'platform.json'), 'utf8')) as { readonly pid: number };
  return record.pid;
}

beforeAll(async () => {
  data = join(await mkdtemp(join(tmpdir(), 'harikube-platform-')), 'data');
  port = await freePort();
  const own = readEnv();
  const { kubectl: found } = await new Binaries({ env: own, progress: silent }).find(['kubectl']);
  const PATH = [dirname(found.path), own['PATH'], PLUGINS].join(delimiter);
  env = { ...own, PATH, KUBECONFIG: join(data, 'kubeconfig'), NODE_OPTIONS: '' };
  kubectl = new Kubectl('kubectl', env);
  up = await UpProcess.start(data, port, env);
}, 15 * MINUTES);

afterAll(async () => {
  await up.killAll();
  await rm(dirname(data), { recursive: true });
});

describe('the platform on a laptop', () => {
  it('ends its screen with the command that registers a user', () => {
    const screen = up.output
      .slice(
        0,
        up.output.findIndex((line) => line.includes('HariKube is ready')),
      )
      .join('\n');
    expect(screen).toContain(`export KUBECONFIG=${join(data, 'kubeconfig')}`);
    expect(screen).toMatch(/kubectl create registrationrequest jane .*\\\n.*\\\n.*--postal-code \S+\n\n.*http:\/\/127\.0\.0\.1:\d+\/\n*$/);
  });

  it('has taken its topology from three TopologyConfigs, while nothing was there that they take', async () => {
    const registered = (await readFile(join(data, 'logs', 'router.log'), 'utf8')).match(/Backends registered: \[[^\]]*\]/g) ?? [];
    expect([registered[0], registered.at(-1)]).toEqual(['Backends registered: [main]', 'Backends registered: [tenant user email main]']);
    const columns = ['custom-columns=:metadata.name,:status.deployStatus,:status.deployOrder', '--no-headers'];
    const configs = await kubectl.read(['get', 'topologyconfigs', '-n', 'harikube', '-o', ...columns]);
    expect(configs.split('\n').map((line) => line.trim().split(/ +/))).toEqual([
      ['topologyconfig-email', 'Active', '3'],
      ['topologyconfig-tenant', 'Active', '1'],
      ['topologyconfig-user', 'Active', '2'],
    ]);
  });

  it('registers a user: company, person and mail each in their database, everything else in the default one', async () => {
    expect(await register('jane')).toEqual({ code: 0, out: `registration.api.${GROUP}/jane created\n`, err: '' });
    const { namespace, user } = await userOf('jane');
    expect(keysByFile(`${GROUP}/tenants/`)).toEqual({ 'tenant.db': 1 });
    expect(keysByFile(`${GROUP}/users/${namespace}/`)).toEqual({ 'user.db': 1 });
    expect(keysByFile(`${GROUP}/emails/${namespace}/`)).toEqual({ 'email.db': 1 });
    expect(keysByFile(`namespaces/${namespace}`)).toEqual({ 'main.db': 1 });
    expect(keysByFile(`secrets/${namespace}/${user}`)).toEqual({ 'main.db': 1 });
    for (const kind of ['serviceaccounts', 'rolebindings', 'roles']) {
      expect(Object.keys(keysByFile(`${kind}/${namespace}/`))).toEqual(['main.db']);
    }
    expect(
      await kubectl.read(['get', 'user', user, '-n', namespace, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}']),
    ).toBe('True');
    expect(await kubectl.read(['get', 'emails', '-n', namespace, '-o', 'jsonpath={.items[0].spec.body}'])).toContain('Dear Jane Doe');
  });

  it('sends the mail that welcomes the user, says so in its columns, and shows it in a browser', async () => {
    const { namespace } = await userOf('jane');
    await kubectl.succeed(['wait', 'email', '--all', '-n', namespace, '--for=jsonpath={.status.sentTimestamp}', '--timeout=120s']);
    const columns = (await kubectl.read(['get', 'emails', '-n', namespace])).split('\n').map((line) => line.split(/ {2,}/));
    expect(columns[0]).toEqual(['NAME', 'EMAIL', 'SUBJECT', 'SENT', 'ERROR', 'AGE']);
    expect(columns[1]?.slice(1, 3)).toEqual(['jane@example.com', 'Welcome to the Example Webshop']);
    expect(columns[1]?.[3]).toMatch(/^\d+[ms]/);
    const box = /http:\S+/.exec(up.output.findLast((line) => line.includes('read the mail')) ?? '')?.[0] ?? '';
    const browser = await launchBrowser();
    try {
      const wrong: string[] = [];
      const page = await browser.newPage();
      await page.setViewport({ width: 900, height: 760, deviceScaleFactor: 1 });
      page.on('console', (message) => {
        if (message.type() === 'error') wrong.push(message.text());
      });
      page.on('requestfailed', (failed) => wrong.push(failed.url()));
      await page.goto(box);
      const click = await page.waitForSelector('::-p-text(Welcome to the Example Webshop)', { timeout: 120_000 });
      await Promise.all([page.waitForNavigation(), click?.click()]);
      const html = await page.waitForSelector('iframe');
      const frame = await html?.contentFrame();
      await frame?.waitForSelector('p');
      expect(await frame?.evaluate('document.body.innerText')).toMatch(/Dear Jane Doe,\s+your account is ready/);
      expect(await page.evaluate('document.querySelector("pre").textContent')).toMatch(/Dear Jane Doe,\s+your account is ready/);
      expect(await page.evaluate('document.body.innerText')).toContain('jane@example.com');
      expect(wrong).toEqual([]);
      // The picture in docs/ is this one.
      const pictures = env['HARIKUBE_PICTURES'] ?? dirname(data);
      await page.screenshot({ path: join(pictures, 'welcome-mail.png'), fullPage: true });
    } finally {
      await browser.close();
    }
  });

  it('keeps the plain password nowhere', async () => {
    for (const file of ['main.db', 'tenant.db', 'user.db', 'email.db']) {
      for (const suffix of ['', '-wal']) expect((await readFile(join(data, 'db', `${file}${suffix}`))).includes(PASSWORD)).toBe(false);
    }
    expect(await readFile(join(data, 'logs', 'platform.log'), 'utf8')).not.toContain(PASSWORD);
  });

  it("answers in kubectl's ways", async () => {
    expect(await register('joe', '--dry-run=server', '-o', 'name')).toEqual({
      code: 0,
      out: `registration.api.${GROUP}/joe\n`,
      err: '',
    });
    expect(keysByFile(`${GROUP}/tenants/`)).toEqual({ 'tenant.db': 1 });
    const json = await register('joe', '--dry-run=server', '-o', 'json');
    expect(JSON.parse(json.out)).toMatchObject({ kind: 'Registration', metadata: { name: 'joe' } });
    expect(json.out).not.toContain(PASSWORD);
    expect((await register('joe', '--dry-run=server', '-o', 'yaml')).out).toMatch(/^kind: Registration$/m);
    const taken = await register('other', '--email=jane@example.com');
    expect([taken.code, taken.out]).toEqual([1, '']);
    expect(taken.err).toMatch(/e-mail|exists/i);
    await kubectl.succeed(['create', 'clusterrolebinding', 'desk', '--clusterrole=webshop-registrar', '--user=desk']);
    expect(await register('joe', '--dry-run=server', '--as=desk')).toMatchObject({ code: 0 });
    const nobody = await register('joe', '--as=nobody');
    expect(nobody.code).toBe(1);
    expect(nobody.err).toContain(`User "nobody" cannot create resource "registrations" in API group "api.${GROUP}"`);
    // kubectl completes plugins of its first level only; a shell can ask this program itself.
    const complete = join(PLUGINS, 'kubectl_complete-create-registrationrequest');
    expect((await answerOf(complete, ['joe', '--first'], { env })).out).toContain('--first-name');
  });

  it('shows every part as ready', async () => {
    const { code, out } = await status();
    for (const part of ['router', 'kube-apiserver', 'kube-controller-manager', 'platform', 'aggregated API', 'webhooks']) {
      expect(out).toMatch(new RegExp(`^ {2}ok {4}${part} `, 'm'));
    }
    expect(out).toMatch(/tenants: 1, users: 1, emails: 1; registrations: 0 running, 0 failed; triggers: 1 of 1 ready/);
    expect([code, out.includes('FAIL')]).toEqual([0, false]);
  });

  it('heals when its services are killed', async () => {
    const pid = await platformPid();
    process.kill(pid, 'SIGKILL');
    await up.says('platform runs again');
    expect(await platformPid()).not.toBe(pid);
    await kubectl.succeed(['wait', '--for=condition=Available', `apiservice/v1.api.${GROUP}`, '--timeout=120s']);
    expect(await register('ann')).toMatchObject({ code: 0 });
    expect(await status()).toMatchObject({ code: 0, out: expect.stringContaining('tenants: 2, users: 2, emails: 2;') });
  });

  it('has everything again after a stop, in other processes and beside the ports of before, and leaves what people changed', async () => {
    const template = ['emailtemplate', REGISTRATION_EMAIL_TEMPLATE, '-n', 'harikube-system'];
    await kubectl.succeed(['patch', ...template, '--type=merge', '-p', '{"spec":{"subject":"Changed by hand"}}']);
    const before = await kubectl.read(['get', 'tenants,users,emails', '-A', '-o', 'name']);
    await stopCleanly();
    // What Kubernetes has stored about the webhook then leads nowhere, and refuses whatever it is asked.
    await rm(join(data, 'ports.json'));
    up = await UpProcess.start(data, port, env, '--separate');
    expect(await kubectl.read(['get', 'tenants,users,emails', '-A', '-o', 'name'])).toBe(before);
    expect(await kubectl.read(['get', ...template, '-o', 'jsonpath={.spec.subject}'])).toBe('Changed by hand');
    expect(await register('eve')).toMatchObject({ code: 0 });
    const { namespace } = await userOf('eve');
    expect(await kubectl.read(['get', 'emails', '-n', namespace, '-o', 'jsonpath={.items[0].spec.subject}'])).toBe('Changed by hand');
    await kubectl.succeed(['wait', 'email', '--all', '-n', namespace, '--for=jsonpath={.status.sentTimestamp}', '--timeout=120s']);
    // No mail was missed, and its trigger knows it.
    const conditions = await kubectl.read(['get', 'httptriggers', '-A', '-o', 'jsonpath={.items[*].status.conditions[*].type}']);
    expect(conditions.split(' ').toSorted()).toEqual(['Delivering', 'Ready', 'Suspended', 'Watching']);
  });

  it('runs each service by itself when told to', async () => {
    const { code, out } = await status();
    const parts = ['admission-webhook', 'api-server', 'registration-controller', 'tenant-controller', 'user-controller'];
    for (const part of [...parts, 'watch-trigger', 'email-function', 'mail-catcher']) {
      expect(out).toMatch(new RegExp(`^ {2}ok {4}${part} `, 'm'));
    }
    expect(code).toBe(0);
  });

  it('leaves nothing that calls them when they are left out', async () => {
    await stopCleanly();
    up = await UpProcess.start(data, port, env, '--bare', '--topology', TOPOLOGY);
    expect(await kubectl.read(['get', 'mutatingwebhookconfigurations,validatingwebhookconfigurations', '-o', 'name'])).toBe('');
    expect((await kubectl.run(['get', 'apiservice', `v1.api.${GROUP}`])).err).toContain('NotFound');
    await kubectl.succeed(['patch', 'tenant', '--type=merge', '-p', '{"spec":{"city":"Pécs"}}', (await userOf('jane')).namespace]);
  });
});
