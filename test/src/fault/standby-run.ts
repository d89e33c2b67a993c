import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePort } from '@harikube/local-cluster';
import { Random, type EtcdServer, type MariadbServer, type PostgresServer } from '@harikube/testing';
import { StandbyRouter } from '../e2e/standby-router.js';
import { StandbyWorkload } from '../e2e/standby-workload.js';
import { TcpProxy } from '../e2e/tcp-proxy.js';
import { type Engine, ENGINES, type EngineServer, openEngine } from './engine-server.js';
import { wholeNumber } from './run-options.js';

const DEFAULT_ROUNDS = 100;
/** Rounds between two judgements. */
const ROUNDS_OF_A_STORY = 10;
const WRITERS = 6;
const LEASE_MS = 2000;
/** Beyond the lease and the second that a take-over may last: two cores, a database, two routers and the clients share a machine. */
const SLACK_MS = 2000;
/** How often the writer's row is read. */
const LOOK_MS = 50;
const FLAGS = ['--writer-lease-duration', `${LEASE_MS}ms`, '--backend-timeout', '3s', '--watch-progress-notify-interval', '500ms'];

export const ROUTERS_USAGE = `routers    routers on one database are killed, stopped and cut off under a checked workload
  --engine ENGINE  ${ENGINES.join(', ')}, or a list of them; default: all
  --rounds N       faults for each engine; default: ${DEFAULT_ROUNDS}
  --seed N         decides which; default: from the time`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export async function runRouters(args: readonly string[], print: (line: string) => void): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { engine: { type: 'string' }, rounds: { type: 'string' }, seed: { type: 'string' } },
  });
  const engines = (values.engine ?? ENGINES.join(',')).split(',').map(engineNamed);
  const rounds = wholeNumber('rounds', values.rounds ?? String(DEFAULT_ROUNDS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  print(`seed ${seed}, ${rounds} faults of routers on each of ${engines.join(', ')}`);
  let findings = 0;
  for (const engine of engines) {
    const startedAt = performance.now();
    const run = new RoutersRun(engine, new Random(seed), print);
    findings += await run.play(rounds, seed);
    print(
      `${engine}: ${rounds} faults with seed ${seed} in ${Math.round((performance.now() - startedAt) / 1000)} s, ${run.findings} findings`,
    );
  }
  return findings === 0 ? 0 : 1;
}

function engineNamed(text: string): Engine {
  const engine = ENGINES.find((candidate) => candidate === text);
  if (engine === undefined) throw new Error(`--engine=${text} is not usable; use ${ENGINES.join(', ')}`);
  return engine;
}

/** After SIGTERM, when another router has taken over, and after kill -9. */
const EXPECTED_ENDS: ReadonlySet<number | string | null> = new Set([0, 3, 'SIGKILL']);

/** A router and its own way to the database. */
interface Place {
  readonly proxy: TcpProxy;
  readonly port: number;
  router: StandbyRouter;
}

/** What happens to a router in one round; resolves when there are two of them again. */
interface Fault {
  readonly name: string;
  /** Whether another router has to write afterwards. */
  readonly isTakeover: boolean;
  readonly play: (place: Place, run: RoutersRun) => Promise<void>;
}

const FAULTS: readonly Fault[] = [
  { name: 'the active one is killed', isTakeover: true, play: ({ router }) => router.kill() },
  { name: 'the active one is told to end', isTakeover: true, play: async ({ router }) => void (await router.stop()) },
  {
    name: 'the active one is stopped until another has taken over',
    isTakeover: true,
    play: async ({ router }, run) => {
      router.pause();
      await run.other(router).serving();
      await delay(run.random.below(500));
      router.continue();
      await router.ended;
    },
  },
  {
    name: 'the active one is stopped for about its lease',
    isTakeover: false,
    play: async ({ router }, run) => {
      router.pause();
      await delay(LEASE_MS / 2 + run.random.below(LEASE_MS));
      router.continue();
      // Whether it was too long is for the lease to decide, and only then does it end.
      await delay(LEASE_MS);
    },
  },
  {
    name: 'the active one is cut off until another has taken over',
    isTakeover: true,
    play: async ({ proxy, router }, run) => {
      proxy.refuse();
      await run.other(router).serving();
      await delay(run.random.below(500));
      proxy.admit();
      await router.ended;
    },
  },
  {
    name: 'the active one hears nothing from the database for about its lease',
    isTakeover: false,
    play: async ({ proxy }, run) => {
      proxy.hold();
      await delay(LEASE_MS / 2 + run.random.below(LEASE_MS));
      proxy.release();
      await delay(LEASE_MS);
    },
  },
  { name: 'the standby is killed', isTakeover: false, play: async ({ router }, run) => run.other(router).kill() },
  {
    name: 'both are killed',
    isTakeover: false,
    play: async ({ router }, run) => {
      await Promise.all([router.kill(), run.other(router).kill()]);
    },
  },
];

/** Two routers, their clients, and what the database's own rows say of who writes. */
class RoutersRun {
  findings = 0;
  #places: [Place, Place] | null = null;
  #server: EngineServer | null = null;

  constructor(
    private readonly engine: Engine,
    readonly random: Random,
    private readonly print: (line: string) => void,
  ) {}

  async play(rounds: number, seed: number): Promise<number> {
    const server = await openEngine(this.engine);
    this.#server = server;
    try {
      this.#places = [await this.#place(server), await this.#place(server)];
      for (let done = 0; done < rounds; done += ROUNDS_OF_A_STORY) {
        await this.#story(Math.min(ROUNDS_OF_A_STORY, rounds - done), done, seed);
      }
    } finally {
      for (const { proxy, router } of this.#places ?? []) {
        this.#readLog(router);
        await router.kill();
        await proxy.close();
      }
      await server.server.stop();
    }
    return this.findings;
  }

  /** The router that is not this one. */
  other(router: StandbyRouter): StandbyRouter {
    const found = this.#both.find((place) => place.router !== router);
    if (found === undefined) throw new Error('there is no other router');
    return found.router;
  }

  get #both(): readonly Place[] {
    if (this.#places === null) throw new Error('no router runs');
    return this.#places;
  }

  async #story(rounds: number, before: number, seed: number): Promise<void> {
    const workload = await StandbyWorkload.begin({
      urls: this.#both.map(({ router }) => router.url),
      prefix: `/registry/story-${before}/`,
      seed: seed + before,
      writers: WRITERS,
      silenceMs: 1500,
    });
    const rows = new WriterRows(this.engine, this.#serverOf());
    const looking = rows.follow();
    for (let round = 1; round <= rounds; round++) {
      const fault = this.random.pick(FAULTS);
      await workload.writes(5 + this.random.below(30));
      const active = await this.#active();
      await this.other(active.router).placed();
      const startedAt = performance.now();
      await Promise.all([fault.play(active, this), fault.isTakeover ? this.#takesOver(this.other(active.router), fault, startedAt) : null]);
      await this.#startAgain();
      const backAfterMs = Math.round(performance.now() - startedAt + (await workload.writes(3)));
      this.print(`  ${before + round}: ${fault.name}, back after ${backAfterMs} ms`);
    }
    const { findings, ...counts } = await workload.end((await this.#active()).router.url);
    rows.stop();
    await looking;
    const all = [...findings, ...rows.findings];
    this.print(`${this.engine} after ${before + rounds}: ${JSON.stringify({ ...counts, ...rows.counts })}`);
    for (const finding of all) this.#complain(finding);
  }

  async #takesOver(standby: StandbyRouter, fault: Fault, startedAt: number): Promise<void> {
    await standby.serving();
    const ms = Math.round(performance.now() - startedAt);
    if (ms > LEASE_MS + 1000 + SLACK_MS) this.#complain(`${fault.name}, and the other one took over after ${ms} ms`);
  }

  /** Waits until one of them serves: of two that say so the later one, since the other is about to end. */
  async #active(): Promise<Place> {
    await Promise.any(this.#both.map(({ router }) => router.serving()));
    const serving = this.#both.filter(({ router }) => router.servingSince !== null);
    const [active] = serving.sort((one, other) => (other.router.servingSince ?? 0) - (one.router.servingSince ?? 0));
    return active ?? this.#active();
  }

  async #startAgain(): Promise<void> {
    // One that was deposed may be about to end.
    await delay(50);
    for (const place of this.#both) {
      if (!place.router.hasEnded) continue;
      const end = await place.router.ended;
      if (!EXPECTED_ENDS.has(end)) this.#complain(`a router ended with ${end}:\n${place.router.output}`);
      this.#readLog(place.router);
      place.router = this.#launch(place.proxy, place.port);
    }
    await this.#active();
  }

  /** An error is what somebody has to see to; nothing of the kind comes of faults that a router is made for. */
  #readLog({ lines }: StandbyRouter): void {
    for (const line of lines) {
      if (line.level === 'error' && !line.msg.startsWith('another router has taken over')) this.#complain(JSON.stringify(line));
    }
  }

  async #place(server: EngineServer): Promise<Place> {
    const proxy = await TcpProxy.start(server.server.port);
    const port = await freePort();
    const router = this.#launch(proxy, port);
    await router.placed();
    return { proxy, port, router };
  }

  #launch(proxy: TcpProxy, port: number): StandbyRouter {
    return StandbyRouter.launch({ endpoint: this.#serverOf().endpoint(proxy.port), port, flags: FLAGS });
  }

  #serverOf(): EngineServer {
    if (this.#server === null) throw new Error('no server runs');
    return this.#server;
  }

  #complain(finding: string): void {
    this.findings++;
    this.print(`  FINDING ${finding}`);
  }
}

interface WriterRow {
  readonly epoch: bigint;
  readonly lastRevision: bigint;
}

/** What the database says of who writes: epochs and revisions that never go back, whoever is killed, stopped or cut off. */
class WriterRows {
  readonly findings: string[] = [];
  readonly #epochs = new Set<bigint>();
  #looks = 0;
  #isStopped = false;

  constructor(
    private readonly engine: Engine,
    private readonly server: EngineServer,
  ) {}

  get counts(): { readonly epochs: number; readonly looks: number } {
    return { epochs: this.#epochs.size, looks: this.#looks };
  }

  stop(): void {
    this.#isStopped = true;
  }

  async follow(): Promise<void> {
    let last: WriterRow = { epoch: 0n, lastRevision: 0n };
    while (!this.#isStopped) {
      const row = await this.#read();
      this.#looks++;
      this.#epochs.add(row.epoch);
      if (row.epoch < last.epoch || row.lastRevision < last.lastRevision) {
        this.findings.push(`the writer's row went back from ${show(last)} to ${show(row)}`);
      }
      last = row;
      await delay(LOOK_MS);
    }
  }

  async #read(): Promise<WriterRow> {
    const { server } = this.server;
    switch (this.engine) {
      case 'postgres': {
        const { rows } = await (server as PostgresServer).query('SELECT epoch, last_revision FROM meta', 'shop');
        return rowOf((rows as Record<string, unknown>[])[0]);
      }
      case 'mariadb':
        return rowOf((await (server as MariadbServer).query('SELECT epoch, last_revision FROM shop.meta'))[0]);
      case 'etcd':
        return rowOf(
          JSON.parse(await (server as EtcdServer).etcdctl('get', '--print-value-only', 'harikube.io/meta')) as Record<string, unknown>,
        );
    }
  }
}

function rowOf(row: Readonly<Record<string, unknown>> | undefined): WriterRow {
  if (row === undefined) throw new Error('the database holds no row of the writer');
  const { epoch, last_revision: inSql, lastRevision = inSql } = row;
  return { epoch: number(epoch), lastRevision: number(lastRevision) };
}

/** etcd's is JSON, in which large numbers stand as "#123". */
function number(value: unknown): bigint {
  return BigInt(String(value).replace('#', ''));
}

function show({ epoch, lastRevision }: WriterRow): string {
  return `epoch ${epoch}, revision ${lastRevision}`;
}
