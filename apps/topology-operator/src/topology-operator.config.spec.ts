import { describe, expect, it } from '@jest/globals';
import { ConfigError } from '@harikube/platform';
import { topologyOperatorManifests } from './manifests.js';
import { targetNameOf } from './topology-operator.config.js';
import { topologyOperatorProgram } from './topology-operator.js';

function refusals(...argv: string[]): readonly string[] {
  try {
    topologyOperatorProgram.prepare(argv, {});
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.reasons;
    throw error;
  }
}

const URL = '--router-admin-url=https://router.harikube:2381';

describe('the flags of topology-operator', () => {
  it('are all optional', () => {
    expect(refusals()).toEqual([]);
    expect(refusals(URL, '--router-admin-token-file=/token', '--router-admin-ca-file=/ca', '--target-secrets=a/b,c/d.e')).toEqual([]);
  });

  it.each<[string[], string]>([
    [[URL], 'asks who is calling; give a token file'],
    [['--router-admin-url=http://router:2381', '--router-admin-token-file=/t'], 'without encryption beyond this machine'],
    [['--router-admin-url=router', '--router-admin-token-file=/t'], '"router" is not the address of an admin API'],
    [[URL, '--router-admin-cert-file=/c'], 'belong together'],
    [['--router-admin-token-file=/t'], '--router-admin-token-file=/t means nothing without --router-admin-url'],
    [['--target-secrets=a/b,c'], '--target-secrets: "c" is no Secret; write NAMESPACE/NAME'],
  ])('refuse %j', (argv, message) => {
    expect(refusals(...argv).join('\n')).toContain(message);
  });
});

describe('targetNameOf', () => {
  it('reads namespace and name', () => {
    expect(targetNameOf('a-b/c.d')).toEqual({ namespace: 'a-b', name: 'c.d' });
    for (const text of ['', 'a', 'a/', '/b', 'a/b/c', 'a.b/c', 'A/b']) expect(targetNameOf(text)).toBeNull();
  });
});

describe('topologyOperatorManifests', () => {
  interface Manifest {
    readonly kind: string;
    readonly metadata: { readonly name: string; readonly namespace?: string };
    readonly rules?: readonly {
      readonly resources: readonly string[];
      readonly resourceNames?: readonly string[];
      readonly verbs: readonly string[];
    }[];
  }
  const rolesOf = (options: Parameters<typeof topologyOperatorManifests>[0]): Manifest[] =>
    (topologyOperatorManifests(options) as Manifest[]).filter(({ rules }) => rules?.some(({ resources }) => resources.includes('secrets')));

  it('allows the Secrets that are named, by their names, and in their namespaces', () => {
    const roles = rolesOf({
      namespace: 'system',
      targets: ['harikube/topology-config', 'shop/topology'],
      references: ['shop/topology', 'shop/db', 'other/db'],
    });
    expect(
      roles.map(({ kind, metadata: { namespace }, rules = [] }) => [
        kind,
        namespace,
        rules.map(({ resourceNames, verbs }) => [resourceNames, verbs.join()]),
      ]),
    ).toEqual([
      [
        'Role',
        'harikube',
        [
          [undefined, 'create'],
          [['topology-config'], 'get,list,patch,update,watch'],
        ],
      ],
      [
        'Role',
        'shop',
        [
          [undefined, 'create'],
          [['topology'], 'get,list,patch,update,watch'],
          [['db'], 'get,list,watch'],
        ],
      ],
      ['Role', 'other', [[['db'], 'get,list,watch']]],
    ]);
  });

  it('refuses what is no Secret', () => {
    expect(() => topologyOperatorManifests({ namespace: 'system', targets: ['x'] })).toThrow('"x" is no Secret; write NAMESPACE/NAME');
  });
});
