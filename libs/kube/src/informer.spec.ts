import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import type { Informer, InformerHandler, InformerOptions } from './informer.js';
import { InformerFactory } from './informer-factory.js';
import { KubeClient } from './kube-client.js';
import type { KubeObject, ObjectMeta } from './kube-object.js';
import { CONFIG_MAPS, SECRETS } from './resources.js';
import { ApiServerDouble, configMap, type Exchange, failure, type LogLine, recordingLogger } from './spec/api-server-double.js';
import { FakeClock } from './spec/fake-clock.js';

let server: ApiServerDouble;
let clock: FakeClock;
let client: KubeClient;
let factory: InformerFactory;
let registry: Registry;
let lines: LogLine[];
let stop: AbortController;
let running: Promise<void> | null;

beforeEach(async () => {
  server = await ApiServerDouble.start();
  clock = new FakeClock();
  client = KubeClient.fromConfig({ kubeconfig: await server.kubeconfig(), userAgent: 'spec', clock });
  const recording = recordingLogger();
  lines = recording.lines;
  registry = new Registry();
  factory = new InformerFactory(client, { clock, logger: recording.logger, registry, random: () => 0.25 });
  stop = new AbortController();
  running = null;
});

afterEach(async () => {
  stop.abort();
  await running;
  await client.close();
  await server.close();
});

/** What a handler was told, in order; `next` waits for so many. */
class Told implements InformerHandler<KubeObject> {
  readonly all: string[] = [];
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  onAdd({ metadata }: KubeObject): void {
    this.#tell(`add ${metadata.name} ${metadata.resourceVersion}`);
  }

  onUpdate(before: KubeObject, { metadata }: KubeObject): void {
    this.#tell(`update ${metadata.name} ${before.metadata.resourceVersion}-${metadata.resourceVersion}`);
  }

  onDelete({ metadata }: KubeObject): void {
    this.#tell(`delete ${metadata.name} ${metadata.resourceVersion}`);
  }

  /** All since the last call, as soon as they are so many. */
  async take(count: number): Promise<string[]> {
    if (this.all.length < count) await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
    return this.all.splice(0);
  }

  #tell(text: string): void {
    this.all.push(text);
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.all.length < count) return true;
      resolve();
      return false;
    });
  }
}

interface Started {
  readonly informer: Informer<KubeObject>;
  readonly told: Told;
}

function start(options: InformerOptions = {}): Started {
  const informer = factory.informer(CONFIG_MAPS, options);
  const told = new Told();
  informer.addHandler(told);
  running ??= factory.run(stop.signal);
  return { informer, told };
}

/** An informer that follows, in a stream that began with these objects. */
async function follow(objects: readonly object[] = [], version = '10'): Promise<Started & { watch: Exchange }> {
  const started = start();
  const watch = await server.next();
  watch.open();
  for (const object of objects) watch.send('ADDED', object);
  watch.initialEnd(version);
  await factory.awaitSynced(stop.signal);
  await started.told.take(objects.length);
  return { ...started, watch };
}

/** The next request, after the wait that precedes it. */
async function afterBackoff(milliseconds: number): Promise<Exchange> {
  await clock.timerIn(milliseconds);
  expect(server.waiting).toBe(0);
  await clock.advance(milliseconds);
  return server.next();
}

const page = (version: string, items: readonly object[], token?: string): object => ({
  metadata: { resourceVersion: version, continue: token },
  items,
});

const warnings = (): LogLine[] => lines.filter(({ level }) => level === 'warn' || level === 'error');

async function counts(): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const name of ['reflector_lists_total', 'reflector_watches_total']) {
    for (const { value } of (await registry.getSingleMetric(name)?.get())?.values ?? []) found[name] = value;
  }
  return found;
}

describe('an informer at its start', () => {
  it('asks for what there is and what follows in one watch, and is synced when that is complete', async () => {
    const { informer, told } = start({ namespace: 'default', labelSelector: 'a=b', fieldSelector: 'metadata.name!=x' });
    const watch = await server.next();
    expect(watch.path).toBe('/api/v1/namespaces/default/configmaps');
    const { timeoutSeconds, ...query } = watch.query;
    expect(query).toEqual({
      watch: 'true',
      allowWatchBookmarks: 'true',
      sendInitialEvents: 'true',
      resourceVersionMatch: 'NotOlderThan',
      resourceVersion: '',
      labelSelector: 'a=b',
      fieldSelector: 'metadata.name!=x',
    });
    // Between 5 and 10 minutes.
    expect(timeoutSeconds).toBe('375');
    watch.open().send('ADDED', configMap('a', '9')).send('ADDED', configMap('b', '3')).bookmark('5');
    await clock.timerIn(10_000);
    expect([informer.isSynced, informer.size, told.all]).toEqual([false, 0, []]);
    watch.send('ADDED', configMap('c', '4')).initialEnd('10');
    expect(await told.take(3)).toEqual(['add a 9', 'add b 3', 'add c 4']);
    await factory.awaitSynced(stop.signal);
    expect([informer.isSynced, factory.isSynced, informer.size]).toEqual([true, true, 3]);
    watch.send('MODIFIED', configMap('a', '11')).send('DELETED', configMap('b', '12')).send('ADDED', configMap('d', '13'));
    expect(await told.take(3)).toEqual(['update a 9-11', 'delete b 12', 'add d 13']);
    expect(await counts()).toEqual({ reflector_watches_total: 1 });
    expect(lines).toEqual([]);
  });

  it.each([422, 400])('lists in pages when the server refuses initial events with %d', async (code) => {
    const { told, informer } = start();
    (await server.next()).fail(code, 'Invalid', 'sendInitialEvents is forbidden');
    const first = await server.next();
    expect(first.query).toEqual({ limit: '500' });
    first.answer(200, page('20', [configMap('a', '1')], 'more'));
    const second = await server.next();
    expect(second.query).toEqual({ limit: '500', continue: 'more' });
    expect(informer.size).toBe(0);
    second.answer(200, page('20', [configMap('b', '2')]));
    expect(await told.take(2)).toEqual(['add a 1', 'add b 2']);
    const watch = await server.next();
    expect(watch.query).toMatchObject({ watch: 'true', resourceVersion: '20', allowWatchBookmarks: 'true' });
    expect(watch.query).not.toHaveProperty('sendInitialEvents');
    expect(await counts()).toEqual({ reflector_lists_total: 1, reflector_watches_total: 2 });
    expect(warnings()).toEqual([]);
  });

  it('lists when the server leaves the initial events aside, and never asks again', async () => {
    start();
    const ignored = await server.next();
    ignored.open().send('ADDED', configMap('a', '1'));
    await clock.timerIn(10_000);
    await clock.advance(10_000);
    await ignored.closed;
    const list = await server.next();
    expect(list.query).toEqual({ limit: '500' });
    list.answer(200, page('20', []));
    (await server.next()).fail(410, 'Expired');
    expect((await afterBackoff(1000)).query).toEqual({ limit: '500', resourceVersion: '20', resourceVersionMatch: 'NotOlderThan' });
  });

  it('lists when the initial events go on for ever without their end, or the watch ends before it', async () => {
    start();
    const watch = await server.next();
    watch.open();
    for (let second = 0; second < 60; second += 9) {
      await clock.timerIn(Math.min(10_000, 60_000 - 1000 * second));
      watch.bookmark('7');
      await clock.advance(9000);
    }
    await watch.closed;
    expect((await server.next()).query).toEqual({ limit: '500' });
    const other = factory.informer(SECRETS);
    const ended = await server.next();
    ended.open().send('ADDED', configMap('a', '1')).end();
    const list = await server.next();
    expect([list.path, list.query]).toEqual(['/api/v1/secrets', { limit: '500' }]);
    expect(other.size).toBe(0);
  });

  it('lists in one piece when the place in a list has expired', async () => {
    const { told } = start();
    (await server.next()).fail(422, 'Invalid');
    (await server.next()).answer(200, page('20', [configMap('a', '1')], 'more'));
    (await server.next()).fail(410, 'Expired');
    const whole = await server.next();
    expect(whole.query).toEqual({});
    whole.answer(200, page('30', [configMap('a', '1'), configMap('b', '25')]));
    expect(await told.take(2)).toEqual(['add a 1', 'add b 25']);
    expect((await server.next()).query['resourceVersion']).toBe('30');
  });

  it('waits for a server that is not there yet, with one warning', async () => {
    const { port } = server;
    await server.stop();
    const { told, informer } = start();
    for (const milliseconds of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      await clock.timerIn(milliseconds);
      await clock.advance(milliseconds);
    }
    await clock.timerIn(30_000);
    expect(informer.trouble?.message).toContain('ECONNREFUSED');
    server = await ApiServerDouble.start(port);
    await clock.advance(30_000);
    const watch = await server.next();
    watch.open().send('ADDED', configMap('a', '1')).initialEnd('10');
    await told.take(1);
    expect(informer.trouble).toBeNull();
    expect(warnings()).toMatchObject([{ level: 'warn', msg: 'cannot follow the resource; trying again', resource: 'configmaps' }]);
    expect(lines.filter(({ level }) => level === 'info')).toMatchObject([{ msg: 'following the resource again' }]);
  });

  it('waits as long as a server asks that has too much to do', async () => {
    start();
    (await server.next()).answer(429, failure(429, 'TooManyRequests'), { 'retry-after': '17' });
    const next = await afterBackoff(17_000);
    next.answer(503, 'no backend', { 'retry-after': '1' });
    // The server's wait is the shorter one.
    await afterBackoff(2000);
  });
});

describe('an informer that follows', () => {
  it('goes on from the last live event or bookmark when the server ends the watch, and says nothing', async () => {
    const { watch, told } = await follow([configMap('z', '99')], '10');
    await clock.advance(1000);
    watch.end();
    const second = await server.next();
    // Not from 99, which is the version of an initial event.
    expect(second.query).toMatchObject({ watch: 'true', resourceVersion: '10', allowWatchBookmarks: 'true' });
    second.open().send('ADDED', configMap('a', '11')).end();
    const third = await server.next();
    expect(third.query['resourceVersion']).toBe('11');
    third.open().bookmark('15').end();
    const fourth = await server.next();
    expect(fourth.query['resourceVersion']).toBe('15');
    fourth.open().send('DELETED', configMap('a', '16'));
    expect(await told.take(2)).toEqual(['add a 11', 'delete a 16']);
    fourth.cut();
    const fifth = await server.next();
    expect(fifth.query['resourceVersion']).toBe('16');
    fifth.open().send('MODIFIED', configMap('z', '17')).write('{"type":"MODIF').end();
    expect((await server.next()).query['resourceVersion']).toBe('17');
    expect(lines).toEqual([]);
    expect(await counts()).toEqual({ reflector_watches_total: 6 });
  });

  it('opens a watch again that is silent for too long', async () => {
    const { watch } = await follow([], '10');
    await clock.timerIn(150_000);
    await clock.advance(150_000);
    await watch.closed;
    const second = await server.next();
    expect(second.query['resourceVersion']).toBe('10');
    second.open();
    await clock.timerIn(150_000);
    await clock.advance(150_000);
    expect((await server.next()).query['resourceVersion']).toBe('10');
    expect(lines).toEqual([]);
  });

  it('does not run hot against a server that ends each watch at once', async () => {
    const { watch } = await follow([], '10');
    await clock.advance(1000);
    watch.end();
    (await server.next()).open().end();
    (await afterBackoff(1000)).open().cut();
    (await afterBackoff(2000)).open().end();
    const again = await afterBackoff(4000);
    expect(again.query['resourceVersion']).toBe('10');
    expect(warnings().length).toBe(1);
    again.open().bookmark('11').end();
    (await server.next()).open().end();
    // The bookmark was a success.
    await afterBackoff(1000);
  });

  it.each(['as an answer', 'as an event'])(
    'loads everything again when its version is too old, told %s, and tells the difference',
    async (form) => {
      const objects = ['kept', 'changed', 'vanished', 'replaced'].map((name, index) => configMap(name, String(index + 1)));
      const { watch, told, informer } = await follow(objects, '10');
      await clock.advance(1000);
      watch.end();
      const second = await server.next();
      if (form === 'as an answer') second.fail(410, 'Expired', 'too old resource version: 10 (500)');
      else second.open().send('ERROR', failure(410, 'Expired', 'too old resource version: 10 (500)'));
      const load = await afterBackoff(1000);
      expect(load.query).toMatchObject({ sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan', resourceVersion: '10' });
      expect(informer.isSynced).toBe(true);
      load.open();
      load.send('ADDED', configMap('kept', '1')).send('ADDED', configMap('changed', '400'));
      load
        .send('ADDED', configMap('replaced', '401', { uid: 'other' }))
        .send('ADDED', configMap('appeared', '402'))
        .initialEnd('500');
      expect(await told.take(5)).toEqual([
        'delete vanished 3',
        'update changed 2-400',
        'delete replaced 4',
        'add replaced 401',
        'add appeared 402',
      ]);
      load.send('MODIFIED', configMap('kept', '501'));
      expect(await told.take(1)).toEqual(['update kept 1-501']);
      expect(warnings()).toEqual([]);
    },
  );

  it('loads from what is newest when the server does not have the version that was seen either, and is never hot', async () => {
    const { watch } = await follow([], '10');
    watch.send('ERROR', failure(410, 'Gone'));
    const first = await afterBackoff(1000);
    expect(first.query['resourceVersion']).toBe('10');
    first.fail(410, 'Expired');
    const second = await afterBackoff(2000);
    expect(second.query['resourceVersion']).toBe('');
    second.open().send('ERROR', failure(410, 'Expired'));
    (await afterBackoff(4000)).open().initialEnd('20').send('ERROR', failure(410, 'Expired'));
    // To load and to expire at once, again and again, is no success.
    await afterBackoff(8000);
  });

  it('loads from what is newest when the data was put back to an older state', async () => {
    const { watch } = await follow([configMap('a', '9')], '10');
    await clock.advance(1000);
    watch.end();
    const details = { causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }], retryAfterSeconds: 1 };
    (await server.next()).answer(504, failure(504, 'Timeout', 'Too large resource version: 10, current: 4', { details }));
    expect((await afterBackoff(1000)).query).toMatchObject({ sendInitialEvents: 'true', resourceVersion: '' });
  });

  it('keeps its version while the server refuses it, and warns once', async () => {
    const { watch, informer } = await follow([configMap('a', '9')], '10');
    await clock.advance(1000);
    watch.end();
    (await server.next()).fail(403, 'Forbidden', 'configmaps is forbidden');
    (await afterBackoff(1000)).fail(403, 'Forbidden', 'configmaps is forbidden');
    const third = await afterBackoff(2000);
    expect(informer.trouble?.message).toBe('configmaps is forbidden');
    expect(third.query['resourceVersion']).toBe('10');
    third.open().bookmark('12').end();
    await server.next();
    expect(informer.trouble).toBeNull();
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'debug', 'info']);
  });

  it('meets events that it knows already with silence, and those of an object whose deletion it missed with both', async () => {
    const { watch, told } = await follow([configMap('a', '9')], '10');
    watch.send('ADDED', configMap('a', '9')).send('DELETED', configMap('never', '11'));
    watch.send('ADDED', configMap('a', '12', { uid: 'second' })).send('MODIFIED', configMap('b', '13'));
    expect(await told.take(3)).toEqual(['delete a 9', 'add a 12', 'add b 13']);
  });
});

describe('the cache of an informer', () => {
  const labelled = (name: string, version: string, team: string, more: ObjectMeta = {}): object =>
    configMap(name, version, { labels: { team }, ...more });

  it('holds objects that say what they are, without managedFields', async () => {
    const { informer, watch, told } = await follow([configMap('a', '1', { managedFields: [{ manager: 'kubectl' }] })]);
    expect(informer.get('a', 'default')).toEqual({ apiVersion: 'v1', kind: 'ConfigMap', ...configMap('a', '1') });
    watch.send('MODIFIED', configMap('a', '11', { managedFields: [{ manager: 'kubectl' }] }));
    await told.take(1);
    expect(informer.get('a', 'default')?.metadata).not.toHaveProperty('managedFields');
    expect(informer.get('a')).toBeUndefined();
    expect(informer.get('a', 'other')).toBeUndefined();
  });

  it('lists one namespace or all', async () => {
    const { informer } = await follow([configMap('a', '1'), configMap('a', '2', { namespace: 'other' })]);
    expect(informer.list().length).toBe(2);
    expect(informer.list('other').map(({ metadata }) => metadata.resourceVersion)).toEqual(['2']);
    expect(informer.size).toBe(2);
  });

  it('finds by indexes that are added before and after, and follow every change', async () => {
    const teamsOf = ({ metadata }: KubeObject): string[] => (metadata.labels?.['team'] ?? '').split('.').filter((team) => team !== '');
    factory.informer(CONFIG_MAPS).addIndex('team', teamsOf);
    const { informer, watch, told } = await follow([labelled('a', '1', 'red'), labelled('b', '2', 'red.blue'), configMap('c', '3')]);
    const names = (key: string, index = 'team'): unknown[] => informer.byIndex(index, key).map(({ metadata }) => metadata.name);
    expect([names('red'), names('blue'), names('green')]).toEqual([['a', 'b'], ['b'], []]);
    informer.addIndex('late', teamsOf);
    expect(names('red', 'late')).toEqual(['a', 'b']);
    watch
      .send('MODIFIED', labelled('b', '11', 'green'))
      .send('DELETED', labelled('a', '12', 'whatever'))
      .send('ADDED', labelled('d', '13', 'blue'));
    await told.take(3);
    for (const index of ['team', 'late']) {
      expect([names('red', index), names('blue', index), names('green', index)]).toEqual([[], ['d'], ['b']]);
    }
    expect(() => informer.byIndex('colour', 'red')).toThrow('the informer of configmaps has no index "colour"');
  });

  it('leaves an object out of an index whose function fails, and logs that', async () => {
    factory.informer(CONFIG_MAPS).addIndex('broken', ({ metadata }) => {
      if (metadata.name === 'bad') throw new Error('what a name');
      return ['key'];
    });
    const { informer } = await follow([configMap('bad', '1'), configMap('good', '2')]);
    expect(informer.byIndex('broken', 'key').map(({ metadata }) => metadata.name)).toEqual(['good']);
    expect(warnings()).toMatchObject([{ level: 'error', key: 'default/bad', err: { message: 'what a name' } }]);
  });
});

describe('the handlers of an informer', () => {
  it('are told of what is there when they come late, and of nothing after they have gone', async () => {
    const { informer, watch, told } = await follow([configMap('a', '1'), configMap('b', '2')]);
    const late = new Told();
    const remove = informer.addHandler(late);
    expect(await late.take(2)).toEqual(['add a 1', 'add b 2']);
    watch.send('MODIFIED', configMap('a', '11'));
    expect(await late.take(1)).toEqual(['update a 1-11']);
    remove();
    await told.take(1);
    watch.send('MODIFIED', configMap('a', '12'));
    await told.take(1);
    expect(late.all).toEqual([]);
  });

  it('see the cache as it is after the change, and may add handlers, which are told once', async () => {
    const { informer, watch, told } = await follow();
    const inner = new Told();
    const seen: unknown[] = [];
    informer.addHandler({
      onAdd: ({ metadata }) => {
        seen.push(informer.get(metadata.name ?? '', 'default')?.metadata.resourceVersion);
        informer.addHandler(inner);
      },
      onDelete: ({ metadata }) => seen.push(informer.get(metadata.name ?? '', 'default')),
    });
    watch.send('ADDED', configMap('a', '11')).send('DELETED', configMap('a', '12'));
    await told.take(2);
    expect(seen).toEqual(['11', undefined]);
    expect(await inner.take(2)).toEqual(['add a 11', 'delete a 12']);
  });

  it('that throw stop neither the informer nor the others', async () => {
    factory.informer(CONFIG_MAPS).addHandler({
      onAdd: () => {
        throw new Error('handler of a spec');
      },
    });
    const { watch, told } = await follow([configMap('a', '1')]);
    watch.send('ADDED', configMap('b', '11'));
    expect(await told.take(1)).toEqual(['add b 11']);
    expect(warnings()).toMatchObject([
      { level: 'error', msg: 'a handler of an informer failed', err: { message: 'handler of a spec' } },
      { level: 'error', msg: 'a handler of an informer failed' },
    ]);
  });

  it('are told of everything again only when a resync is asked for', async () => {
    const { informer, told } = start({ resyncMs: 60_000 });
    (await server.next()).open().send('ADDED', configMap('a', '1')).initialEnd('10');
    await told.take(1);
    await clock.advance(60_000);
    expect(await told.take(1)).toEqual(['update a 1-1']);
    await clock.advance(60_000);
    expect(await told.take(1)).toEqual(['update a 1-1']);
    expect(factory.informer(CONFIG_MAPS)).not.toBe(informer);
    stop.abort();
    await running;
    expect(clock.timers).toEqual([]);
  });
});

describe('InformerFactory', () => {
  it('has one informer for one resource, namespace and selectors', () => {
    const options: InformerOptions = { namespace: 'a', labelSelector: 'b', fieldSelector: 'c' };
    expect(factory.informer(CONFIG_MAPS, options)).toBe(factory.informer({ ...CONFIG_MAPS }, { ...options }));
    expect(factory.informer(CONFIG_MAPS)).toBe(factory.informer(CONFIG_MAPS, {}));
    const all = [{}, { namespace: 'a' }, { labelSelector: 'a' }, { fieldSelector: 'a' }].map((one) => factory.informer(CONFIG_MAPS, one));
    expect(new Set([...all, factory.informer(SECRETS)]).size).toBe(5);
  });

  it('starts an informer that is asked for later, and waits for that as well', async () => {
    await follow();
    const secrets = factory.informer(SECRETS);
    expect(factory.isSynced).toBe(false);
    const watch = await server.next();
    expect(watch.path).toBe('/api/v1/secrets');
    watch.open().initialEnd('3');
    await factory.awaitSynced(stop.signal);
    expect(secrets.isSynced).toBe(true);
  });

  it('says which caches are not filled in time, and why', async () => {
    start();
    factory.informer(SECRETS);
    for (const watch of [await server.next(), await server.next()]) {
      if (watch.path.endsWith('secrets')) watch.fail(403, 'Forbidden', 'secrets is forbidden');
      else watch.open().initialEnd('3');
    }
    await clock.timerIn(1000);
    const waiting = expect(factory.awaitSynced(stop.signal, 500)).rejects.toThrow(
      'the caches are not filled after 0.5 s: secrets (secrets is forbidden)',
    );
    await clock.advance(500);
    await waiting;
  });

  it('ends with its signal, whatever is under way', async () => {
    const { watch } = await follow();
    stop.abort();
    await running;
    await watch.closed;
    expect(clock.timers).toEqual([]);
    await expect(factory.awaitSynced(AbortSignal.abort())).resolves.toBeUndefined();
    factory.informer(SECRETS);
    await expect(factory.awaitSynced(AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
    await expect(factory.run(stop.signal)).rejects.toThrow('the informers run already');
  });

  it('ends while it waits for a server', async () => {
    const { port } = server;
    await server.stop();
    start();
    await clock.timerIn(1000);
    stop.abort();
    await running;
    server = await ApiServerDouble.start(port);
    expect(clock.timers).toEqual([]);
  });
});
