import { rmSync } from 'node:fs';
import { ApiServerDouble, type Exchange } from '@harikube/kube/api-server-double';
import { createLogger } from '@harikube/platform';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ToldReadings } from '../spec/told-readings.js';
import { SecretWatcher } from './secret-watcher.js';

const OBJECT = '/api/v1/namespaces/harikube/secrets/topology-config';
const COLLECTION = '/api/v1/namespaces/harikube/secrets';

let server: ApiServerDouble;
let kubeconfig: string;
let told: ToldReadings;
let watcher: SecretWatcher;
let log: string;

function secret(resourceVersion: string, texts: Readonly<Record<string, string>>): object {
  const data = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]));
  return { metadata: { name: 'topology-config', namespace: 'harikube', uid: 'u', resourceVersion }, data };
}

/** Answers whether the Secret is there; resolves with the watch that is opened then. */
async function reached(isThere = true): Promise<Exchange> {
  const question = await server.next();
  expect([question.method, question.path]).toEqual(['GET', OBJECT]);
  if (isThere) question.answer(200, secret('1', {}));
  else question.fail(404, 'NotFound');
  return server.next();
}

function follow(patienceMs = 3_600_000): void {
  const destination = { write: (text: string) => (log += text) };
  const logger = createLogger({ format: 'plain', debug: true, destination });
  watcher = new SecretWatcher({ namespace: 'harikube', name: 'topology-config', kubeconfig, logger, patienceMs });
  watcher.start(told.take);
}

beforeEach(async () => {
  server = await ApiServerDouble.start();
  kubeconfig = await server.kubeconfig({ token: 'pass' });
  told = new ToldReadings();
  log = '';
});

afterEach(async () => {
  await watcher.close();
  await server.close();
});

describe('SecretWatcher', () => {
  it('asks for its Secret alone, and tells all its keys', async () => {
    follow();
    const watch = await reached();
    expect([watch.path, watch.query['watch'], watch.query['fieldSelector']]).toEqual([COLLECTION, 'true', 'metadata.name=topology-config']);
    watch
      .open()
      .send('ADDED', secret('2', { '2-b.yaml': 'b', '1-a.yaml': 'ä', 'ca.crt': 'PEM' }))
      .initialEnd('2');
    expect(await told.first(() => true)).toEqual({
      type: 'read',
      documents: [
        { name: '2-b.yaml', text: 'b' },
        { name: '1-a.yaml', text: 'ä' },
        { name: 'ca.crt', text: 'PEM' },
      ],
    });
    watch.send('MODIFIED', secret('3', { '1-a.yaml': 'other' }));
    await told.text('other');
  });

  it('tells a Secret without data as a topology without documents', async () => {
    follow();
    (await reached())
      .open()
      .send('ADDED', { metadata: { name: 'topology-config', namespace: 'harikube', resourceVersion: '1' } })
      .initialEnd('1');
    expect(await told.first(() => true)).toEqual({ type: 'read', documents: [] });
  });

  it('says that the Secret is not there, and takes it up when it comes', async () => {
    follow();
    const watch = (await reached(false)).open().initialEnd('1');
    await told.unreadable('cannot read topology secret://harikube/topology-config: there is no such Secret');
    watch.send('ADDED', secret('2', { '1.yaml': 'one' }));
    await told.text('one');
    watch.send('DELETED', secret('3', { '1.yaml': 'one' }));
    await told.first((reading) => reading !== told.all[0] && reading.type === 'unreadable');
    expect(told.all.map(({ type }) => type)).toEqual(['unreadable', 'read', 'unreadable']);
  });

  it('waits for a server that is not there yet, and says so after its patience', async () => {
    const former = server;
    const { port } = former;
    await former.stop();
    follow(50);
    await told.unreadable('cannot read topology secret://harikube/topology-config: ');
    server = await ApiServerDouble.start(port);
    (await reached())
      .open()
      .send('ADDED', secret('1', { '1.yaml': 'one' }))
      .initialEnd('1');
    await told.text('one');
    await former.close();
  });

  it('asks again when it may not read the Secret yet', async () => {
    follow(50);
    (await server.next()).fail(403, 'Forbidden', 'secrets "topology-config" is forbidden');
    await told.unreadable('secrets "topology-config" is forbidden');
    (await reached())
      .open()
      .send('ADDED', secret('1', { '1.yaml': 'one' }))
      .initialEnd('1');
    await told.text('one');
  });

  it('waits for a kubeconfig that is not there yet', async () => {
    rmSync(kubeconfig);
    follow(50);
    await told.unreadable('the kubeconfig');
    await server.kubeconfig({ token: 'pass' });
    (await reached())
      .open()
      .send('ADDED', secret('1', { '1.yaml': 'one' }))
      .initialEnd('1');
    await told.text('one');
  });

  it('tells the same again after its patience, so that a trouble that has passed is over', async () => {
    follow(20);
    (await reached())
      .open()
      .send('ADDED', secret('1', { '1.yaml': 'one' }))
      .initialEnd('1');
    await told.first(() => told.all.filter(({ type }) => type === 'read').length > 2);
    expect(new Set(told.all.filter(({ type }) => type === 'read').map((reading) => JSON.stringify(reading))).size).toBe(1);
  });

  it('refuses what is no text, and shows nothing of it', async () => {
    follow();
    const watch = (await reached()).open();
    const data = { '1.yaml': Buffer.from([0xff, 0x41, 0x42]).toString('base64') };
    watch.send('ADDED', { metadata: { name: 'topology-config', namespace: 'harikube', resourceVersion: '1' }, data }).initialEnd('1');
    await told.unreadable('topology secret://harikube/topology-config/1.yaml is not UTF-8 text');
  });

  it('ends its watch when it is closed', async () => {
    follow();
    const watch = (await reached()).open().initialEnd('1');
    await told.unreadable('there is no such Secret');
    await watcher.close();
    await watch.closed;
    expect(log).not.toContain(' ERROR ');
  });
});
