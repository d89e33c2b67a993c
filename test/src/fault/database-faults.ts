import type { Random } from '@harikube/testing';
import { COMMIT_STEPS, type CommitTrap } from './database-proxy.js';
import { copyData, type Engine, exchangeData } from './engine-server.js';
import type { Target } from './fault-stage.js';

/** Something that happens to a database, from the moment it is well until it could be well again. */
export interface DatabaseFault {
  readonly name: string;
  /** Engines that it cannot happen to. */
  readonly except?: readonly Engine[];
  /** It lasts longer than a router waits for an answer. */
  readonly isLong: boolean;
  /** The router is away meanwhile, too. */
  readonly stopsRouter?: boolean;
  /** Connections that were given no end may still be found dead afterwards, each by a request. */
  readonly isSilent: boolean;
  /** How often it is drawn among the others. */
  readonly weight: number;
  happen(target: Target, context: FaultContext): Promise<void>;
}

export interface FaultContext {
  readonly random: Random;
  /** How long a router waits for a database. */
  readonly timeoutMs: number;
  /** Resolves when the workload has been in trouble for long enough to have met it. */
  readonly meetsIt: (ms: number) => Promise<void>;
  /** What a write and a read of its keys are answered at the moment: '' when both go well. */
  readonly answer: () => Promise<string>;
  /** Resolves when its keys are back. */
  readonly isBack: () => Promise<void>;
  readonly stopRouter: () => Promise<void>;
  readonly startRouter: () => Promise<void>;
}

/** A trap that no commit runs into within this time is not in the way of this engine's commits. */
const TRAP_MS = 20_000;

function commitFault({ step, disturbance }: CommitTrap): DatabaseFault {
  const how = { cut: 'is cut', vanish: 'goes silent', late: 'is late' }[disturbance];
  return {
    name: `a commit ${how} ${step}`,
    isLong: disturbance !== 'cut',
    isSilent: disturbance !== 'cut',
    weight: disturbance === 'cut' ? 6 : 1,
    happen: async ({ proxy }, { answer }) => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), TRAP_MS)));
      const sprung = proxy.disturb({ step, disturbance });
      void answer();
      const first = await Promise.race([sprung, late]);
      clearTimeout(timer);
      if (first !== 'late') return;
      proxy.disarm();
      throw new Error(`no commit came to the point "${step}" within ${TRAP_MS} ms`);
    },
  };
}

/** How long a database without room may find some. */
const FULL_MS = 10_000;

function between(random: Random, least: number, most: number): number {
  return least + random.below(most - least + 1);
}

const COMMIT_FAULTS: readonly DatabaseFault[] = [
  ...COMMIT_STEPS.map((step) => commitFault({ step, disturbance: 'cut' })),
  ...(['inside the rows', 'before COMMIT is sent', 'before COMMIT is answered'] as const).map((step) =>
    commitFault({ step, disturbance: 'vanish' }),
  ),
  commitFault({ step: 'before COMMIT is sent', disturbance: 'late' }),
];

const NETWORK_FAULTS: readonly DatabaseFault[] = [
  {
    name: 'every connection is cut',
    isLong: false,
    isSilent: false,
    weight: 6,
    happen: async ({ proxy }, { random, meetsIt }) => {
      for (let cuts = between(random, 1, 4); cuts > 0; cuts--) {
        proxy.cut();
        await meetsIt(random.below(150));
      }
    },
  },
  {
    name: 'connections are refused',
    isLong: false,
    isSilent: false,
    weight: 3,
    happen: async ({ proxy }, { random, meetsIt }) => {
      proxy.refuse();
      await meetsIt(between(random, 200, 1500));
      proxy.admit();
    },
  },
  {
    name: 'logins are refused',
    except: ['etcd'],
    isLong: false,
    isSilent: false,
    weight: 3,
    happen: async ({ proxy, server }, { random, meetsIt }) => {
      proxy.refuseLogins(random.pick(server.loginErrors));
      await meetsIt(between(random, 200, 1500));
      proxy.admit();
    },
  },
  {
    name: 'the network is slow',
    isLong: false,
    isSilent: false,
    weight: 2,
    happen: async ({ proxy }, { random, meetsIt }) => {
      proxy.delay(() => 5 + random.below(60));
      await meetsIt(between(random, 500, 1500));
      proxy.delay(null);
      await meetsIt(200);
    },
  },
  {
    name: 'the network swallows everything',
    isLong: true,
    isSilent: true,
    weight: 1,
    happen: async ({ proxy }, { random, meetsIt, timeoutMs }) => {
      proxy.vanish();
      await meetsIt(between(random, timeoutMs / 2, timeoutMs * 2));
      proxy.appear();
    },
  },
  {
    name: 'the network stands still and goes on',
    isLong: true,
    isSilent: true,
    weight: 1,
    happen: async ({ proxy }, { random, meetsIt, timeoutMs }) => {
      proxy.freeze();
      await meetsIt(between(random, timeoutMs / 2, timeoutMs * 2));
      proxy.thaw();
    },
  },
];

export const SERVER_FAULTS: readonly DatabaseFault[] = [
  {
    name: 'the server is killed and started',
    isLong: true,
    isSilent: false,
    weight: 2,
    happen: async ({ server: { server } }, { random, meetsIt }) => {
      await server.kill();
      await meetsIt(random.below(1000));
      await server.start();
    },
  },
  {
    name: 'the server is stopped and goes on',
    isLong: true,
    isSilent: true,
    weight: 1,
    happen: async ({ server: { server } }, { random, meetsIt, timeoutMs }) => {
      server.pause();
      await meetsIt(between(random, timeoutMs / 2, timeoutMs * 2));
      server.resume();
    },
  },
  {
    name: 'the server takes no writes',
    isLong: true,
    isSilent: false,
    weight: 1,
    happen: async ({ server }, { random, meetsIt }) => {
      const undo = await server.makeReadOnly();
      await meetsIt(between(random, 500, 1500));
      await undo();
    },
  },
  {
    name: 'the disk is full',
    isLong: true,
    isSilent: false,
    weight: 1,
    happen: async ({ server }, { random, meetsIt, answer }) => {
      const undo = await server.fill();
      // Pages that are half full take some writes still.
      for (const until = performance.now() + FULL_MS; performance.now() < until && (await answer()) === '';) await meetsIt(50);
      await meetsIt(between(random, 500, 1500));
      await undo();
    },
  },
  {
    name: 'the password is another one',
    except: ['etcd'],
    isLong: true,
    isSilent: false,
    weight: 1,
    happen: async ({ server, proxy }, { random, meetsIt }) => {
      const undo = await server.changePassword?.();
      proxy.cut();
      await meetsIt(between(random, 500, 1500));
      await undo?.();
    },
  },
];

/** How long a restored database may go without being noticed by the requests that come for it, beside one timeout. */
const NOTICED_MS = 5000;

/** Waits until its keys are refused because of the copy, by name; fails when they are served or nothing is said. */
async function isNamed({ area }: Target, { answer, meetsIt, timeoutMs }: FaultContext): Promise<void> {
  const until = performance.now() + NOTICED_MS + timeoutMs;
  let last = '';
  for (;;) {
    last = await answer();
    if (last.startsWith(`etcdserver: backend "${area.name}" is unavailable: `) && /restored|older|another copy/.test(last)) return;
    if (performance.now() > until) break;
    await meetsIt(100);
  }
  throw new Error(`an older copy was not named within ${NOTICED_MS + timeoutMs} ms: ${last === '' ? 'its keys were served' : last}`);
}

/** Not of the default backend, without which a router does not go on. */
const RESTORE_FAULTS: readonly DatabaseFault[] = [
  {
    name: 'an older copy is restored under the router, then the right one',
    isLong: true,
    isSilent: false,
    weight: 1,
    happen: async (target, context) => {
      const { server } = target.server;
      await server.kill();
      await copyData(server, 'copy');
      await server.start();
      await context.isBack();
      await context.meetsIt(300);
      await server.kill();
      await exchangeData(server, 'copy');
      await server.start();
      await isNamed(target, context);
      await context.meetsIt(500);
      await isNamed(target, context);
      await server.kill();
      await exchangeData(server, 'copy');
      await server.start();
    },
  },
  {
    name: 'an older copy is restored while the router is stopped, then the right one',
    isLong: true,
    isSilent: false,
    stopsRouter: true,
    weight: 1,
    happen: async (target, context) => {
      const { server } = target.server;
      await server.kill();
      await copyData(server, 'copy');
      await server.start();
      await context.isBack();
      await context.meetsIt(300);
      await context.stopRouter();
      await server.kill();
      await exchangeData(server, 'copy');
      await server.start();
      await context.startRouter();
      await isNamed(target, context);
      await server.kill();
      await exchangeData(server, 'copy');
      await server.start();
    },
  },
];

const DATABASE_FAULTS: readonly DatabaseFault[] = [...COMMIT_FAULTS, ...NETWORK_FAULTS, ...SERVER_FAULTS, ...RESTORE_FAULTS];

/** Those that can happen to a target. */
export function faultsOf({ server: { engine }, isDefault }: Target): DatabaseFault[] {
  return DATABASE_FAULTS.filter((fault) => !(fault.except ?? []).includes(engine) && !(isDefault && RESTORE_FAULTS.includes(fault)));
}

/** One of them, by their weights. */
export function drawFault(faults: readonly DatabaseFault[], random: Random): DatabaseFault {
  return random.pick(faults.flatMap((fault) => Array.from({ length: fault.weight }, () => fault)));
}
