import type { HTTPTrigger } from '@harikube/crds';
import { ConnectionError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { describe, expect, it } from '@jest/globals';
import { changed, Engine } from './spec/engine.js';
import { FakeApi } from './spec/fake-api.js';
import { DELIVERED, FakeSender, type Sent, temporary } from './spec/fake-sender.js';
import { sampleTrigger } from './spec/sample-trigger.js';
import { turns } from './spec/turns.js';

/** Mulberry32: from 0 up to 1, the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const NAMES = ['quick', 'slow', 'gold'] as const;
type Name = (typeof NAMES)[number];

interface Written {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly uid: string;
  readonly name: string;
  readonly resourceVersion: string;
  readonly isGold: boolean;
}

/** An API, triggers, and a process that serves them and is killed now and then, all by one seed. */
class World {
  readonly #random: () => number;
  readonly #clock = new FakeClock();
  readonly #api = new FakeApi(this.#clock);
  readonly #live = new Map<string, { readonly uid: string; readonly isGold: boolean }>();
  readonly #senders = new Map<string, FakeSender>();
  readonly written: Written[] = [];
  #engine: Engine;
  #restarts = 0;
  #created = 0;

  constructor(seed: number) {
    this.#random = randomOf(seed);
    for (const name of NAMES) this.#senders.set(name, this.#newSender(name));
    this.#engine = this.#newEngine();
  }

  async start(): Promise<void> {
    for (const [name, spec] of Object.entries(SPECS)) {
      const trigger = sampleTrigger(spec);
      await this.#engine.serve({ ...trigger, metadata: { ...trigger.metadata, name, uid: `trigger-${name}` } });
    }
    await turns();
  }

  /** So many random things. */
  async live(steps: number, { gaps }: { readonly gaps: boolean }): Promise<void> {
    for (let step = 0; step < steps; step++) {
      await this.#step(gaps);
      await this.#clock.advance(this.#below(200));
      await turns(2);
    }
  }

  /** Until everything is delivered that is going to be. */
  async settle(): Promise<void> {
    this.#api.bookmark();
    for (let minute = 0; minute < 30; minute++) {
      await turns();
      await this.#clock.advance(60_000);
    }
    await turns();
  }

  delivered(name: Name): readonly Sent[] {
    return this.#sender(name).delivered;
  }

  dropped(name: Name): number {
    return this.#api.trigger(name).status?.counters?.dropped ?? 0;
  }

  pending(name: Name): number {
    return this.#api.trigger(name).status?.pending ?? 0;
  }

  get restarts(): number {
    return this.#restarts;
  }

  get lastRevision(): string {
    return String(this.#api.revision);
  }

  cursor(name: Name): string | undefined {
    return this.#api.trigger(name).status?.cursor?.resourceVersion;
  }

  /** The cursors that were written, in their order. */
  cursorsOf(name: Name): bigint[] {
    return this.#api.patches.flatMap((patch) => {
      const cursor = patch.name === name ? (patch.status['cursor'] as { resourceVersion: string } | null) : null;
      return cursor === null ? [] : [BigInt(cursor.resourceVersion)];
    });
  }

  async #step(gaps: boolean): Promise<void> {
    const dice = this.#below(100);
    if (dice < 70) for (let count = 0; count <= this.#below(4); count++) this.#write();
    else if (dice < 78) this.#api.bookmark();
    else if (dice < 84) this.#api.endWatches();
    else if (dice < 90) this.#api.cutWatches(new ConnectionError('cut'));
    else if (dice < 93 && gaps) this.#api.compact();
    else if (dice < 94 && gaps) this.#api.expireWatches();
    else if (dice < 96) await this.#restart(false);
    else if (dice < 97) await this.#restart(true);
    else if (dice < 98) await this.#changeSpec();
    else this.#api.pass(this.#below(5));
  }

  #write(): void {
    const names = [...this.#live.keys()];
    const known = names[this.#below(names.length + 5)];
    if (known !== undefined && this.#below(4) === 0) {
      const { uid = '', isGold = false } = this.#live.get(known) ?? {};
      this.#api.delete(known);
      this.#live.delete(known);
      this.written.push({ type: 'DELETED', uid, name: known, resourceVersion: this.lastRevision, isGold });
      return;
    }
    const name = known ?? `o-${this.#created++}`;
    const isGold = this.#live.get(name)?.isGold ?? this.#below(2) === 0;
    const { metadata } = this.#api.write(name, { labels: { tier: isGold ? 'gold' : 'tin' } });
    const { uid = '', resourceVersion = '' } = metadata;
    this.#live.set(name, { uid, isGold });
    this.written.push({ type: known === undefined ? 'ADDED' : 'MODIFIED', uid, name, resourceVersion, isGold });
  }

  async #restart(isClean: boolean): Promise<void> {
    this.#restarts++;
    if (isClean) await Promise.all([this.#engine.stop(), this.#clock.advance(10_000)]);
    else await this.#engine.kill();
    for (let count = 0; count < this.#below(8); count++) this.#write();
    this.#engine = this.#newEngine();
    for (const name of NAMES) await this.#engine.reconcile(name);
  }

  async #changeSpec(): Promise<void> {
    const name = NAMES[this.#below(NAMES.length)] ?? 'quick';
    const trigger: HTTPTrigger = this.#api.trigger(name);
    const served = this.#engine.serve(changed(trigger, { method: trigger.spec.method === 'PUT' ? 'POST' : 'PUT' }));
    await Promise.all([served, this.#clock.advance(2000)]);
  }

  #newEngine(): Engine {
    return new Engine({ api: this.#api, clock: this.#clock, random: this.#random, senders: this.#senders, queueLimit: QUEUE_LIMIT });
  }

  #newSender(name: Name): FakeSender {
    const sender = new FakeSender(this.#clock);
    sender.latencyMs = name === 'slow' ? 300 : 5;
    sender.answer = () => (this.#below(20) > 0 ? DELIVERED : this.#below(3) > 0 ? temporary() : temporary('ConnectionFailed'));
    return sender;
  }

  #sender(name: Name): FakeSender {
    const sender = this.#senders.get(name);
    if (sender === undefined) throw new Error(`there is no ${name}`);
    return sender;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

const SPECS: Readonly<Record<Name, Partial<HTTPTrigger['spec']>>> = {
  quick: { concurrency: 8, delivery: { timeout: '10s', retries: 5 } },
  slow: { concurrency: 2, retryPolicy: { backoff: 'Linear', initialDelay: '100ms', maxDelay: '2s', maxRetryAfter: '5m' } },
  gold: { concurrency: 4, labelSelectors: ['tier=gold'] },
};

/** So small that the slow trigger is taken off its watch again and again. */
const QUEUE_LIMIT = 10;
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];

function wantedOf(world: World, name: Name): Written[] {
  return world.written.filter(({ isGold }) => name !== 'gold' || isGold);
}

/** What came first of each event, by object. */
function firstDeliveries(sent: readonly Sent[]): Map<string, string[]> {
  const seen = new Set<string>();
  const byObject = new Map<string, string[]>();
  for (const { id, uid, type, resourceVersion } of sent) {
    if (seen.has(id)) continue;
    seen.add(id);
    byObject.set(uid, [...(byObject.get(uid) ?? []), `${type} ${resourceVersion}`]);
  }
  return byObject;
}

describe('the engine of triggers under kills, cuts, changes of the spec, and destinations that fail or are slow', () => {
  it.each(SEEDS)('delivers every event at least once and those of an object in their order (seed %i)', async (seed) => {
    const world = new World(seed);
    await world.start();
    await world.live(300, { gaps: false });
    await world.settle();
    expect(world.restarts).toBeGreaterThan(0);
    for (const name of NAMES) {
      const wanted = wantedOf(world, name);
      const expected = new Map<string, string[]>();
      for (const { uid, type, resourceVersion } of wanted) {
        expected.set(uid, [...(expected.get(uid) ?? []), `${type} ${resourceVersion}`]);
      }
      expect(new Map([...firstDeliveries(world.delivered(name))].sort())).toEqual(new Map([...expected].sort()));
      expect([world.pending(name), world.dropped(name)]).toEqual([0, 0]);
      const cursors = world.cursorsOf(name);
      expect(cursors).toEqual(cursors.toSorted((one, other) => (one < other ? -1 : one > other ? 1 : 0)));
    }
  });

  it.each(SEEDS)('gives a repeated event the id that it had, and no other event that one (seed %i)', async (seed) => {
    const world = new World(seed);
    await world.start();
    await world.live(300, { gaps: true });
    await world.settle();
    for (const name of NAMES) {
      const byId = new Map<string, string>();
      for (const { id, uid, type, resourceVersion } of world.delivered(name)) {
        const event = `${uid} ${type} ${resourceVersion}`;
        expect(byId.get(id) ?? event).toBe(event);
        byId.set(id, event);
      }
      expect(new Set(byId.values()).size).toBe(byId.size);
    }
  });

  it.each(SEEDS)('tells the last state of every object also where changes were compacted away (seed %i)', async (seed) => {
    const world = new World(seed);
    await world.start();
    await world.live(300, { gaps: true });
    await world.settle();
    for (const name of NAMES) {
      const last = new Map(wantedOf(world, name).map((event) => [event.uid, event]));
      const alive = [...last.values()].filter(({ type }) => type !== 'DELETED');
      const told = new Set(world.delivered(name).map(({ uid, resourceVersion }) => `${uid} ${resourceVersion}`));
      expect(alive.filter(({ uid, resourceVersion }) => !told.has(`${uid} ${resourceVersion}`))).toEqual([]);
      for (const [uid, events] of firstDeliveries(world.delivered(name))) {
        const versions = events.map((event) => BigInt(event.split(' ')[1] ?? ''));
        expect({ uid, versions }).toEqual({ uid, versions: versions.toSorted((one, other) => (one < other ? -1 : 1)) });
      }
      expect(world.pending(name)).toBe(0);
    }
  });
});
