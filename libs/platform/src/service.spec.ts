import { describe, expect, it } from '@jest/globals';
import { serviceProgram, type ServiceSettings } from './service.js';

interface MailSettings extends ServiceSettings {
  readonly smtp: string;
}

const mail = serviceProgram<MailSettings>({
  name: 'mail',
  summary: 'sends mail',
  flags: [{ name: 'smtp', help: 'the server' }],
  configure: (settings, common) => ({ ...common, smtp: settings.text('smtp') ?? 'localhost' }),
  start: async ({ smtp, namespace }) => {
    await Promise.resolve();
    return {
      checks: { live: () => [], ready: () => [{ name: `${smtp} in ${namespace}`, isCritical: true, check: () => undefined }] },
      close: () => Promise.resolve(),
    };
  },
});

describe('a service', () => {
  it('reads what every service is told, and its own', async () => {
    const prepared = mail.prepare(['--smtp=mail.test', '--namespace', 'shop', '--metrics-bind-address=[::1]:9090', '--leader-elect'], {});
    expect(prepared.common).toEqual({
      kubeconfig: null,
      namespace: 'shop',
      leaderElect: true,
      metricsListen: { host: '::1', port: 9090 },
      healthListen: { host: '', port: 8081 },
      logFormat: 'plain',
      debug: false,
    });
    const running = await prepared.start({} as never);
    expect(running.checks.ready().map(({ name }) => name)).toEqual(['mail.test in shop']);
  });

  it('takes the namespace and the kubeconfig of a pod from its environment', () => {
    const { common } = mail.prepare([], { POD_NAMESPACE: 'platform', KUBECONFIG: '/etc/kubeconfig' });
    expect([common.namespace, common.kubeconfig, common.metricsListen]).toEqual(['platform', '/etc/kubeconfig', null]);
  });

  it('names every setting that cannot be used', () => {
    expect(() => mail.prepare(['--metrics-bind-address=8080', '--health-probe-bind-address=:70000', '--log-format=xml'], {})).toThrow(
      /--metrics-bind-address=8080 is not an address.*\n--health-probe-bind-address=:70000 is not an address.*\n--log-format=xml/,
    );
  });

  it('shows its own flags and the common ones', () => {
    expect(mail.usage()).toMatch(/--smtp=VALUE +the server\n.*--kubeconfig=VALUE/);
  });
});
