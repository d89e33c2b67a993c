import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { decodeKeyValue, type Revision, revisionOf } from '@harikube/keyspace';
import { EtcdClient, Random, type WatchedEvent } from '@harikube/testing';
import Database from 'better-sqlite3';
import { findStrace } from './debian-tools.js';
import { COMMON } from './kind-topology.js';
import { readTrace, traceArguments } from './file-trace.js';
import { drawLoss, LossyDisk } from './lossy-disk.js';
import type { RouterProcess } from './router-process.js';
import { ThreeFiles } from './three-files.js';
import { ToldRevisions } from './told-revisions.js';
import type { Area } from '../consistency/history.js';
import { Workload, type WorkloadVerdict } from './workload.js';

export interface PowerLossOptions {
  readonly seed: number;
  /** How long the workload writes. */
  readonly writeMs: number;
  /** All keys in one file instead of three. */
  readonly isOne?: boolean;
  /** NORMAL is what `?_synchronous=NORMAL` makes of an endpoint: it may lose what was acknowledged last. */
  readonly synchronous?: 'FULL' | 'NORMAL';
}

/** A router that runs under a tracer is this much slower. */
const ANSWER_WITHIN_MS = 20_000;
const WRITERS = 8;
const REST_MS = 15;
const PROGRESS_MS = 20;

/** What became of one moment at which the power was lost. */
export interface Image {
  /** Its place among everything that the router did. */
  readonly moment: number;
  /** Sentences about what must not be: empty when all is well. */
  readonly findings: readonly string[];
}

/** Two lives of a router, seen by a tracer, and the moments of them at which the power may go. */
export class PowerLoss {
  private constructor(
    private readonly files: ThreeFiles,
    private readonly traces: readonly string[],
    /** All that was ever written, in order. */
    private readonly truth: readonly Change[],
    private readonly moments: number,
    /** Those at which clients were told something. */
    private readonly answers: readonly number[],
    readonly verdict: WorkloadVerdict,
  ) {}

  /** Lets a router write, ends it by SIGTERM in the first life and by SIGKILL in the second, and keeps what it did to its files. */
  static async record({ seed, writeMs, isOne = false, synchronous = 'FULL' }: PowerLossOptions): Promise<PowerLoss> {
    const files = await ThreeFiles.create({ isOne, parameters: synchronous === 'NORMAL' ? '?_synchronous=NORMAL' : '' });
    const traces = ['first', 'second'].map((name) => files.beside(`${name}.trace`)) as [string, string];
    let router = await startTraced(files, traces[0]);
    try {
      const workload = await Workload.begin(
        {
          address: () => router.address,
          areas: files.areas,
          common: COMMON,
          seed,
          writers: WRITERS,
          answerWithinMs: ANSWER_WITHIN_MS,
          healthyWithinMs: ANSWER_WITHIN_MS,
          restMs: REST_MS,
        },
        0n,
      );
      await delay(writeMs / 2);
      const trouble = workload.trouble(files.areas.map(({ name }) => name));
      await router.stop();
      router = await startTraced(files, traces[1]);
      for (const area of files.areas) await workload.recovered(area, ANSWER_WITHIN_MS, 'its router was started again');
      trouble.end();
      await delay(writeMs / 2);
      const verdict = await workload.end(async () => {
        await router.kill();
        router = await files.start();
      });
      const { events } = await contentOf(router.address);
      await router.kill();
      const answers: number[] = [];
      const told = new ToldRevisions();
      let moments = 0;
      for (const trace of traces) {
        for await (const event of readTrace(trace)) {
          if (told.follow(event)) answers.push(moments);
          moments++;
        }
      }
      return new PowerLoss(files, traces, events, moments, answers, verdict);
    } catch (error) {
      await router.kill();
      throw error;
    }
  }

  /**
   * Loses the power at `count` moments, half of them right after something was told, and judges what each leaves. `isLying`: a disk that answers an
   * fsync and does nothing.
   */
  async *images({ count, seed, isLying = false, routerEvery }: ImagesOptions): AsyncGenerator<Image> {
    const random = new Random(seed);
    const disk = new LossyDisk(this.files.disk, isLying);
    const told = new ToldRevisions();
    const chosen = Array.from({ length: count }, (_, i) => (i % 2 === 0 ? random.pick(this.answers) : random.below(this.moments)));
    chosen.sort((a, b) => b - a);
    let moment = 0;
    for (const trace of this.traces) {
      for await (const event of readTrace(trace)) {
        disk.follow(event);
        told.follow(event);
        for (; chosen.at(-1) === moment; chosen.pop()) {
          // Where it was: a store knows where its files are.
          await rm(this.files.disk, { recursive: true });
          await disk.rebuild(this.files.disk, drawLoss(random));
          yield { moment, findings: await this.#judge(told, chosen.length % routerEvery === 0) };
        }
        moment++;
      }
    }
  }

  async remove(): Promise<void> {
    await this.files.remove();
  }

  /** Compares what is left with what was written and told: what a router makes of it, or what SQLite does, which is much quicker. */
  async #judge(told: ToldRevisions, byRouter: boolean): Promise<string[]> {
    try {
      const content = byRouter ? await this.#restart() : this.#read();
      return [...judgeContent(content, { told, truth: this.truth, areas: this.files.areas }), ...this.#damages()];
    } catch (error) {
      return [`what is left cannot be used: ${error instanceof Error ? error.message : String(error)}`];
    }
  }

  async #restart(): Promise<Content> {
    const router = await this.files.start();
    try {
      const content = await contentOf(router.address);
      const client = new EtcdClient(router.address);
      const next = await client.put(`${COMMON}orders/next`, 'next');
      client.close();
      return { ...content, next };
    } finally {
      await router.kill();
    }
  }

  #read(): Content {
    const events: Change[] = [];
    const living: string[] = [];
    let next = 1n;
    for (const area of this.files.areas) {
      const database = openFile(this.files.file(area));
      if (database === null) continue;
      const rows = database.prepare<[], [bigint, Buffer, bigint, Buffer]>('SELECT id, key, tombstone, record FROM log ORDER BY id');
      for (const [id, key, tombstone, record] of rows.raw(true).iterate()) {
        const isDelete = tombstone === 1n;
        events.push({
          key: key.toString(),
          revision: revisionOf(id),
          isDelete,
          value: isDelete ? '' : decodeKeyValue(record).value.toString(),
        });
      }
      const heads = database.prepare<[], [Buffer, bigint]>('SELECT key, id FROM head').raw(true);
      for (const [key, id] of heads.iterate()) living.push(`${key.toString()}@${revisionOf(id)}`);
      const numbers = database
        .prepare<[], [bigint]>('SELECT last_revision FROM meta UNION ALL SELECT reserved_revision FROM control')
        .raw(true);
      for (const [revision] of numbers.iterate()) if (revision >= next) next = revision + 1n;
      database.close();
    }
    return { events, living, next };
  }

  #damages(): string[] {
    return this.files.areas.flatMap((area) => {
      const database = openFile(this.files.file(area));
      if (database === null) return [];
      const answer = String(database.pragma('integrity_check', { simple: true }));
      database.close();
      return answer === 'ok' ? [] : [`${area.name}: ${answer}`];
    });
  }
}

/** Null: nothing was written yet. */
function openFile(file: string): Database.Database | null {
  if (!existsSync(file)) return null;
  const database = new Database(file);
  database.defaultSafeIntegers(true);
  if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'control'").get() !== undefined) return database;
  database.close();
  return null;
}

type Change = Pick<WatchedEvent, 'key' | 'revision' | 'isDelete' | 'value'>;

interface Content {
  readonly events: readonly Change[];
  /** `KEY@REVISION`. */
  readonly living: readonly string[];
  /** The lowest revision that may be given out. */
  readonly next: Revision;
}

interface Past {
  readonly told: ToldRevisions;
  readonly truth: readonly Change[];
  readonly areas: readonly Area[];
}

function judgeContent({ events, living, next }: Content, { told, truth, areas }: Past): string[] {
  const findings: string[] = [];
  for (const { name, prefix } of areas) {
    const written = truth.filter(({ key }) => key.startsWith(prefix));
    const left = events.filter(({ key }) => key.startsWith(prefix));
    const last = written.findLastIndex(({ revision }) => told.has(revision));
    if (left.length <= last) findings.push(`${name} has ${left.length} changes, but ${last + 1} were told`);
    const wrong = left.findIndex((event, i) => show(event) !== show(written[i]));
    if (wrong !== -1) findings.push(`change ${wrong} of ${name} is ${show(left[wrong])} instead of ${show(written[wrong])}`);
  }
  const heads = new Map<string, string>();
  for (const { key, isDelete, revision } of events) {
    if (isDelete) heads.delete(key);
    else heads.set(key, `${key}@${revision}`);
  }
  const [found, due] = [living, [...heads.values()]].map((keys) =>
    keys
      .filter((key) => key.startsWith(COMMON))
      .sort()
      .join(' '),
  );
  if (found !== due) findings.push(`the keys are ${found}, but the history ends with ${due}`);
  if (next <= told.highest) findings.push(`revision ${next} may be given out again: ${told.highest} was told`);
  return findings;
}

export interface ImagesOptions {
  readonly count: number;
  readonly seed: number;
  readonly isLying?: boolean;
  /** A router is started on each image of so many. */
  readonly routerEvery: number;
}

/** Resolves when it serves; its trace is whole when it has ended. */
async function startTraced(files: ThreeFiles, trace: string): Promise<RouterProcess> {
  const { path, env } = await findStrace();
  // The tracer does not see what goes through io_uring.
  return files.start({ under: [path, ...traceArguments(trace)], env: { ...env, UV_USE_IO_URING: '0' } });
}

/** The whole log below the common prefix, and the keys that live. */
async function contentOf(address: string): Promise<Omit<Content, 'next'>> {
  const client = new EtcdClient(address);
  try {
    const { revision, kvs } = await client.list(COMMON);
    const watch = client.watch(COMMON, { startRevision: 1n });
    await watch.created;
    // After everything up to it, as progress is.
    const asking = setInterval(() => watch.requestProgress(), PROGRESS_MS);
    await watch.until(() => watch.messages.some((message) => message.type === 'progress' && message.revision >= revision));
    clearInterval(asking);
    const events = watch.messages.flatMap((message) => (message.type === 'events' ? message.events : []));
    return { events, living: kvs.map((kv) => `${kv.key.toString()}@${kv.modRevision}`) };
  } finally {
    client.close();
  }
}

function show(change: Change | undefined): string {
  return change === undefined ? 'nothing' : `${change.key}${change.isDelete ? ' deleted' : `=${change.value}`}@${change.revision}`;
}
