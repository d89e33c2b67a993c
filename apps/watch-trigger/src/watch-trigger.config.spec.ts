import { ConfigError, parseFlags } from '@harikube/platform';
import { describe, expect, it } from '@jest/globals';
import { WATCH_TRIGGER_FLAGS, type WatchTriggerConfig, watchTriggerConfig } from './watch-trigger.config.js';
import { watchTriggerProgram } from './watch-trigger.js';

function configOf(...argv: readonly string[]): WatchTriggerConfig {
  const settings = parseFlags({ flags: WATCH_TRIGGER_FLAGS }, argv, {});
  const config = watchTriggerConfig(settings);
  settings.finish();
  return config;
}

describe('watchTriggerConfig', () => {
  it('serves all triggers and allows nothing special when nothing is given', () => {
    expect(configOf()).toEqual({
      triggers: { namespace: undefined, labelSelector: undefined, fieldSelector: undefined },
      allowedTargets: [],
      policy: { allowsInsecureTls: false, allowsTemplatedHosts: false, allowsSecretData: false, allowsOtherNamespaces: true },
    });
  });

  it('takes which triggers are served, and what they may do', () => {
    const config = configOf(
      '--trigger-namespace=shop',
      '--label-selectors=tier in (web, api),!test',
      '--field-selectors=metadata.name=a',
      '--allowed-targets=127.0.0.1:8080,10.0.0.0/8',
      '--allow-insecure-tls',
      '--allow-templated-hosts',
      '--allow-secret-data',
      '--same-namespace-only',
    );
    expect(config).toEqual({
      triggers: { namespace: 'shop', labelSelector: 'tier in (web, api),!test', fieldSelector: 'metadata.name=a' },
      allowedTargets: ['127.0.0.1:8080', '10.0.0.0/8'],
      policy: { allowsInsecureTls: true, allowsTemplatedHosts: true, allowsSecretData: true, allowsOtherNamespaces: false },
    });
  });

  it('refuses a target that is none', () => {
    expect(() => configOf('--allowed-targets=10.0.0.0/8,localhost')).toThrow(ConfigError);
    expect(() => configOf('--allowed-targets=10.0.0.0/8,localhost')).toThrow(/--allowed-targets: "localhost"/);
  });
});

describe('watchTriggerProgram', () => {
  it('takes the flags of serverless-kube-watch-trigger and those of every controller', () => {
    const names = watchTriggerProgram.flags.map(({ name }) => name);
    for (const name of ['label-selectors', 'field-selectors', 'max-concurrent-reconciles', 'leader-elect', 'kubeconfig']) {
      expect(names).toContain(name);
    }
    expect(new Set(names).size).toBe(names.length);
    expect(watchTriggerProgram.prepare(['--max-concurrent-reconciles=1', '--leader-elect'], {}).name).toBe('watch-trigger');
  });
});
