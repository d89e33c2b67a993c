import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { KubeObject } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { createLogger } from '@harikube/platform';
import { type Reference, References, type Secret } from './references.js';
import { KubeDouble } from './spec/kube-double.js';

const SECRETS_PATH = '/api/v1/namespaces/shop/secrets';
const NAME = { name: 'token', namespace: 'shop' };

let kube: KubeDouble;
let clock: FakeClock;
let references: References;

function secret(value: string, resourceVersion: string): KubeObject & { data: Record<string, string> } {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { ...NAME, uid: 'u', resourceVersion },
    data: { value: Buffer.from(value).toString('base64') },
  };
}

/** A reference, and a promise of the next change of it. */
function followed(): { reference: Reference<Secret>; changed: () => Promise<void> } {
  const waiting: (() => void)[] = [];
  const reference = references.secret(NAME, () => {
    for (const resolve of waiting.splice(0)) resolve();
  });
  return { reference, changed: () => new Promise((resolve) => waiting.push(resolve)) };
}

beforeEach(async () => {
  kube = await KubeDouble.start();
  clock = new FakeClock();
  references = new References(kube.client, {
    clock,
    logger: createLogger({ format: 'plain', debug: false, destination: { write: () => true } }),
  });
});

afterEach(async () => {
  await references.close();
  await kube.close();
});

describe('References', () => {
  it('watches one object by its name, and follows its value', async () => {
    kube.objects.set(`${SECRETS_PATH}?token`, secret('one', '9'));
    const { reference, changed } = followed();
    expect([reference.value, reference.problem]).toEqual([undefined, null]);
    await reference.known;
    expect(reference.value?.data).toEqual({ value: 'b25l' });
    expect(reference.problem).toBeNull();
    const second = changed();
    kube.send('MODIFIED', secret('two', '11'));
    await second;
    expect(reference.value?.data).toEqual({ value: 'dHdv' });
    const third = changed();
    kube.send('DELETED', secret('two', '12'));
    await third;
    expect([reference.value, reference.problem]).toEqual([undefined, 'the Secret shop/token does not exist']);
    expect(kube.asked).toEqual([`${SECRETS_PATH}?token`]);
  });

  it('knows of an object that is not there that it is not', async () => {
    const { reference } = followed();
    await reference.known;
    expect([reference.value, reference.problem]).toEqual([undefined, 'the Secret shop/token does not exist']);
    const service = references.service({ name: 'gateway', namespace: 'faas' }, () => undefined);
    await service.known;
    expect(service.problem).toBe('the Service faas/gateway does not exist');
    expect(kube.asked).toEqual([`${SECRETS_PATH}?token`, '/api/v1/namespaces/faas/services?gateway']);
  });

  it('watches an object once for all who ask, and no longer than one asks', async () => {
    kube.objects.set(`${SECRETS_PATH}?token`, secret('one', '9'));
    const first = followed();
    const second = followed();
    await Promise.all([first.reference.known, second.reference.known]);
    expect([references.size, kube.watches.length]).toEqual([1, 1]);
    first.reference.close();
    first.reference.close();
    const changed = second.changed();
    kube.send('MODIFIED', secret('two', '11'));
    await changed;
    expect(second.reference.value?.metadata.resourceVersion).toBe('11');
    second.reference.close();
    await kube.watched(0);
    expect(references.size).toBe(0);
    const again = followed();
    await again.reference.known;
    expect(kube.asked).toHaveLength(2);
  });

  it('says which right is missing, and has the value when it is there', async () => {
    kube.objects.set(`${SECRETS_PATH}?token`, null);
    const { reference, changed } = followed();
    const told = changed();
    // The server's answer, and the look at it.
    await clock.timerIn(800, 1600);
    await clock.advance(500);
    await Promise.all([told, reference.known]);
    expect(reference.problem).toBe(
      'the Secret shop/token cannot be read: secrets "token" is forbidden; bind the ClusterRole harikube-watch-trigger-secrets in the namespace shop',
    );
    kube.objects.set(`${SECRETS_PATH}?token`, secret('one', '9'));
    const cured = changed();
    await clock.advance(2000);
    await cured;
    expect([reference.value?.data, reference.problem]).toEqual([{ value: 'b25l' }, null]);
  });

  it('ends all watches at its end', async () => {
    const { reference } = followed();
    await reference.known;
    await references.close();
    await kube.watched(0);
    expect(clock.timers).toEqual([]);
  });
});
