import { describe, expect, it } from '@jest/globals';
import { StatusError } from '@harikube/kube';
import { applyObjects, RELEASE_LABEL, removeObjects } from './release-objects.js';
import { config, CONFIGS, keyOf, ObjectsDouble } from './spec/objects-double.js';

const RELEASE = 'harikube.store';
const KINDS = [
  { apiVersion: 'harikube.info/v1', kind: 'TopologyConfig' },
  { apiVersion: 'triggers.harikube.info/v1', kind: 'HTTPTrigger' },
];

function refusal(code: number, message: string): StatusError {
  return new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, message });
}

function apply(double: ObjectsDouble, names: readonly string[], more: { readonly isDryRun?: boolean; readonly timeoutMs?: number } = {}) {
  const objects = names.map((name) => config(name));
  return applyObjects(double.context(more.timeoutMs), { objects, release: RELEASE, kinds: KINDS, isDryRun: more.isDryRun ?? false });
}

describe('applyObjects', () => {
  it('labels what it applies, and removes what its release has no more, and nothing of another one', async () => {
    const double = new ObjectsDouble();
    double.objects.set(keyOf(CONFIGS, 'other', 'shop'), config('other', { labels: { [RELEASE_LABEL]: 'harikube.other' } }));
    await apply(double, ['users', 'orders']);
    expect(double.objects.get(keyOf(CONFIGS, 'users', 'shop'))?.metadata.labels).toEqual({ [RELEASE_LABEL]: RELEASE });
    await apply(double, ['users']);
    expect([...double.objects.keys()]).toEqual(['TopologyConfig shop/other', 'TopologyConfig shop/users']);
  });

  it('waits for a webhook that cannot be called yet, and says so once', async () => {
    const double = new ObjectsDouble();
    double.refusals.push(refusal(500, 'failed calling webhook'), refusal(500, 'failed calling webhook'));
    await apply(double, ['users']);
    expect(double.notes).toEqual(['TopologyConfig shop/users has to wait: failed calling webhook', 'TopologyConfig shop/users is applied']);
  });

  it('ends at once with the reason when an object is refused', async () => {
    const double = new ObjectsDouble();
    double.refusals.push(refusal(422, 'the endpoint is none'));
    await expect(apply(double, ['users'])).rejects.toThrow('TopologyConfig shop/users is refused: the endpoint is none');
  });

  it('gives up after its time with what was said last', async () => {
    const double = new ObjectsDouble();
    double.refusals.push(...Array.from({ length: 9 }, () => refusal(503, 'not yet')));
    await expect(apply(double, ['users'], { timeoutMs: 1 })).rejects.toThrow(
      'TopologyConfig shop/users is not accepted after 0.001 s: not yet',
    );
  });

  it('changes nothing in a dry run', async () => {
    const double = new ObjectsDouble();
    await apply(double, ['users'], { isDryRun: true });
    expect(double.objects.size).toBe(0);
  });
});

describe('removeObjects', () => {
  it('takes its finalizers off and removes what the release applied and what is named; what is not there is no error', async () => {
    const double = new ObjectsDouble();
    const labels = { [RELEASE_LABEL]: RELEASE };
    double.objects.set(keyOf(CONFIGS, 'users', 'shop'), config('users', { labels, finalizers: ['harikube.info/finalizer'] }));
    double.objects.set(keyOf(CONFIGS, 'named', 'shop'), config('named'));
    const reference = { apiVersion: 'harikube.info/v1', kind: 'TopologyConfig', namespace: 'shop' };
    const objects = ['named', 'absent'].map((name) => ({ ...reference, name }));
    await removeObjects(double.context(), { release: RELEASE, kinds: KINDS, objects, finalizers: ['harikube.info/finalizer'] });
    expect(double.objects.size).toBe(0);
  });

  it('says whose finalizer keeps an object', async () => {
    const double = new ObjectsDouble();
    double.objects.set(
      keyOf(CONFIGS, 'users', 'shop'),
      config('users', { labels: { [RELEASE_LABEL]: RELEASE }, finalizers: ['example.com/kept'] }),
    );
    await expect(removeObjects(double.context(1), { release: RELEASE, kinds: KINDS })).rejects.toThrow('example.com/kept');
  });
});
