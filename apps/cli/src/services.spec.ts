import { describe, expect, it } from '@jest/globals';
import { ConfigError, type ServiceProgram, serviceProgram } from '@harikube/platform';
import { isServiceCommand, prepareTogether, SERVICE_COMMANDS, serviceUsage } from './services.js';

/** A program that tells in its checks what it was told. */
function program(name: string, ...own: string[]): ServiceProgram {
  return serviceProgram({
    name,
    summary: `does ${name}`,
    flags: own.map((flag) => ({ name: flag, help: `${flag} of ${name}` })),
    configure: (settings, common) => {
      for (const flag of own) if (settings.text(flag) === 'bad') settings.refuse(`--${flag}=bad is refused by ${name}`);
      return { ...common, told: own.map((flag) => `${flag}=${settings.text(flag)}`) };
    },
    start: async ({ told }) => {
      await Promise.resolve();
      return {
        checks: { live: () => [], ready: () => told.map((text) => ({ name: text, isCritical: true, check: () => undefined })) },
        close: () => Promise.resolve(),
      };
    },
  });
}

const tenants = program('tenants', 'workers', 'quota');
const users = program('users', 'workers', 'roles');

async function told(argv: readonly string[], env: Record<string, string> = {}): Promise<string[][]> {
  const prepared = prepareTogether([tenants, users], argv, env);
  const running = await Promise.all(prepared.map((service) => service.start({} as never)));
  return running.map(({ checks }) => checks.ready().map(({ name }) => name));
}

function reasons(argv: readonly string[], env: Record<string, string> = {}): readonly string[] {
  try {
    prepareTogether([tenants, users], argv, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.reasons;
    throw error;
  }
  return [];
}

describe('services in one process', () => {
  it('each get their own flags, and all the common ones', async () => {
    expect(await told(['--workers', '4', '--quota=2', '--roles=a=b'])).toEqual([
      ['workers=4', 'quota=2'],
      ['workers=4', 'roles=a=b'],
    ]);
    const prepared = prepareTogether([tenants, users], ['--namespace=shop', '--leader-elect', '--debug=false'], {});
    expect(prepared.map(({ common: { namespace, leaderElect, debug } }) => [namespace, leaderElect, debug])).toEqual([
      ['shop', true, false],
      ['shop', true, false],
    ]);
  });

  it('read the environment as each does alone', () => {
    const [first, second] = prepareTogether([tenants, users], [], { KUBECONFIG: '/etc/kubeconfig' });
    expect([first?.common.kubeconfig, second?.common.kubeconfig]).toEqual(['/etc/kubeconfig', '/etc/kubeconfig']);
  });

  it('refuse a flag that none of them knows, with the nearest one', () => {
    expect(reasons(['--quote=1'])).toEqual([expect.stringMatching(/^unknown flag "--quote".*--quota/)]);
  });

  it('say once what is wrong with a common flag, and everything that is wrong', () => {
    expect(reasons(['--log-format=xml', '--quota=bad', '--roles=bad'])).toEqual([
      expect.stringContaining('--log-format=xml'),
      expect.stringContaining('--quota=bad is refused by tenants'),
      expect.stringContaining('--roles=bad is refused by users'),
    ]);
  });

  it('show each flag once', () => {
    const usage = serviceUsage('both', [tenants, users]);
    expect(usage).toMatch(/^harikube both:\n {2}tenants: does tenants\n {2}users: does users\n\n/);
    expect(usage.match(/--workers.*/g)).toEqual([expect.stringMatching(/workers of tenants; workers of users$/)]);
    expect(usage.match(/--namespace.*/g)?.length).toBe(1);
    expect(serviceUsage('tenants', [tenants])).toBe(`harikube tenants: does tenants\n\n${tenants.usage()}`);
  });

  it('are commands, each by itself and the controllers together', () => {
    for (const { name } of SERVICE_COMMANDS) expect(isServiceCommand(name)).toBe(true);
    expect(isServiceCommand('services')).toBe(true);
    expect(isServiceCommand('up')).toBe(false);
  });

  it('are not listed when only "up" starts them', () => {
    expect(isServiceCommand('mail-catcher')).toBe(true);
    expect(SERVICE_COMMANDS.map(({ name }) => name)).not.toContain('mail-catcher');
    expect(SERVICE_COMMANDS.map(({ name }) => name)).toContain('email-function');
  });
});
