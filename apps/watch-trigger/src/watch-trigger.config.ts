import type { FlagDefinition, Settings } from '@harikube/platform';
import { allowedTargetProblem } from './address-policy.js';
import type { TriggerPolicy } from './trigger-sender.js';

export interface WatchTriggerConfig {
  /** Which triggers are served. */
  readonly triggers: { readonly namespace?: string; readonly labelSelector?: string; readonly fieldSelector?: string };
  readonly allowedTargets: readonly string[];
  readonly policy: TriggerPolicy;
}

export const WATCH_TRIGGER_FLAGS: readonly FlagDefinition[] = [
  { name: 'trigger-namespace', help: 'serve the triggers of one namespace only', shownDefault: 'all' },
  { name: 'label-selectors', help: 'serve the triggers only that match these labels, such as tier=web,!test', shownDefault: 'all' },
  { name: 'field-selectors', help: 'serve the triggers only that match these fields, such as metadata.name=web', shownDefault: 'all' },
  {
    name: 'allowed-targets',
    help: 'comma-separated networks (10.0.0.0/8) and addresses (127.0.0.1:8080) that triggers may reach although they are loopback, link-local or the API server',
  },
  { name: 'allow-insecure-tls', isSwitch: true, help: 'let triggers leave the certificate of their receiver unchecked' },
  { name: 'allow-templated-hosts', isSwitch: true, help: 'let templates of URLs make scheme and host from the object' },
  { name: 'allow-secret-data', isSwitch: true, help: 'let triggers send the data of Secrets that they watch' },
  { name: 'same-namespace-only', isSwitch: true, help: 'let triggers watch objects and name Services of their own namespace only' },
];

export function watchTriggerConfig(settings: Settings): WatchTriggerConfig {
  const allowedTargets = (settings.text('allowed-targets') ?? '').split(',').filter((target) => target !== '');
  for (const target of allowedTargets) {
    const problem = allowedTargetProblem(target);
    if (problem !== null) settings.refuse(`${settings.source('allowed-targets')}: ${problem}`);
  }
  return {
    triggers: {
      namespace: settings.text('trigger-namespace') ?? undefined,
      labelSelector: settings.text('label-selectors') ?? undefined,
      fieldSelector: settings.text('field-selectors') ?? undefined,
    },
    allowedTargets,
    policy: {
      allowsInsecureTls: settings.boolean('allow-insecure-tls'),
      allowsTemplatedHosts: settings.boolean('allow-templated-hosts'),
      allowsSecretData: settings.boolean('allow-secret-data'),
      allowsOtherNamespaces: !settings.boolean('same-namespace-only'),
    },
  };
}
