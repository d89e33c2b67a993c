import { describe, expect, it } from '@jest/globals';
import { watchTriggerManifests } from './manifests.js';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
  readonly rules?: readonly { readonly resources: readonly string[]; readonly verbs: readonly string[] }[];
  readonly aggregationRule?: { readonly clusterRoleSelectors: readonly { readonly matchLabels: Record<string, string> }[] };
  readonly roleRef?: { readonly name: string };
}

const manifests = watchTriggerManifests({ namespace: 'harikube-system' }) as Manifest[];

function manifest(kind: string, name: string): Manifest {
  const found = manifests.find((one) => one.kind === kind && one.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

describe('watchTriggerManifests', () => {
  it('lets the program read Secrets in its own namespace only', () => {
    const everywhere = manifest('ClusterRole', 'harikube-watch-trigger').rules ?? [];
    expect(everywhere.flatMap(({ resources }) => resources)).not.toContain('secrets');
    const own = manifest('Role', 'harikube-watch-trigger');
    expect(own.metadata.namespace).toBe('harikube-system');
    expect(own.rules?.some(({ resources, verbs }) => resources.includes('secrets') && verbs.join() === 'get,list,watch')).toBe(true);
    const bound = manifests.filter(({ kind }) => kind === 'ClusterRoleBinding').map(({ roleRef }) => roleRef?.name);
    expect(bound).toEqual(['harikube-watch-trigger', 'harikube-watch-trigger-sources']);
    expect(manifest('ClusterRole', 'harikube-watch-trigger-secrets').rules).toHaveLength(1);
  });

  it('collects what triggers may watch by a label, which the role for mails has', () => {
    const label = { 'triggers.harikube.info/aggregate-to-watch-trigger': 'true' };
    const sources = manifest('ClusterRole', 'harikube-watch-trigger-sources');
    expect(sources.aggregationRule).toEqual({ clusterRoleSelectors: [{ matchLabels: label }] });
    const emails = manifest('ClusterRole', 'harikube-watch-trigger-emails');
    expect(emails.metadata.labels).toMatchObject(label);
    expect(emails.rules).toEqual([
      { apiGroups: ['product.webshop.harikube.info'], resources: ['emails'], verbs: ['get', 'list', 'watch'] },
    ]);
  });

  it('lets the program write nothing but the status of triggers, events and its lease', () => {
    const writes = manifests
      .flatMap(({ rules = [] }) => rules)
      .filter(({ verbs }) => verbs.some((verb) => !['get', 'list', 'watch'].includes(verb)))
      .flatMap(({ resources }) => resources);
    expect([...new Set(writes)].sort()).toEqual(['events', 'httptriggers/status', 'leases']);
  });
});
