import type { Revision } from '@harikube/keyspace';
import type { Random } from '@harikube/testing';
import type { DatabaseFault } from './database-faults.js';
import type { FaultStage, Target } from './fault-stage.js';
import { COMMON } from './kind-topology.js';
import { Workload, type WorkloadVerdict } from './workload.js';

export interface RoundOptions {
  readonly stage: FaultStage;
  readonly random: Random;
  readonly seed: number;
  /** The highest revision of earlier rounds. */
  readonly seen: Revision;
  /** How long the router waits for a database. */
  readonly timeoutMs: number;
  /** Told of each fault once its keys are back. */
  readonly onHappened?: (happened: Happened) => void;
}

/** A fault that happened, with how long its keys took to come back after it. */
export interface Happened {
  readonly fault: string;
  readonly area: string;
  readonly backAfterMs: number;
}

/** Every request is answered within this time, whatever happens to its database; the second is for the machine. */
function answerWithinMs(timeoutMs: number): number {
  return 1.2 * timeoutMs + 1000;
}

/** While its own database is well: whoever is made to wait for another one's waits for a whole timeout. */
function healthyWithinMs(timeoutMs: number): number {
  return 0.9 * timeoutMs;
}

/** Keys are back within this time and one timeout of the router after their database could be. */
const BACK_WITHIN_MS = 5000;
const WRITERS = 10;
const REST_MS = 12;

/** A workload under faults that come one after another, each with its keys back before the next. */
export class FaultRound {
  readonly happened: Happened[] = [];

  private constructor(
    private readonly options: RoundOptions,
    private readonly workload: Workload,
  ) {}

  static async begin(options: RoundOptions): Promise<FaultRound> {
    const { stage, seed, seen, timeoutMs } = options;
    const workload = await Workload.begin(
      {
        address: () => stage.router.address,
        areas: stage.areas,
        common: COMMON,
        seed,
        writers: WRITERS,
        answerWithinMs: answerWithinMs(timeoutMs),
        healthyWithinMs: healthyWithinMs(timeoutMs),
        restMs: REST_MS,
      },
      seen,
    );
    return new FaultRound(options, workload);
  }

  get highest(): Revision {
    return this.workload.highest;
  }

  /** Lets a fault happen while the neighbours are asked all the time, and waits until its keys are back. */
  async suffer(target: Target, fault: DatabaseFault): Promise<void> {
    const { stage, random, timeoutMs } = this.options;
    const { area } = target;
    const name = `"${fault.name}" in ${area.name}`;
    const hurt = fault.stopsRouter === true || (target.isDefault && fault.isLong) ? stage.areas : [area];
    const trouble = this.workload.trouble(hurt.map((each) => each.name));
    let isOver = false;
    const neighbours = stage.areas.filter((each) => !hurt.includes(each));
    const asking = Promise.all(
      neighbours.map(async (each) => {
        do await this.workload.serves(each, name);
        while (!isOver);
      }),
    );
    try {
      await fault.happen(target, {
        random,
        timeoutMs,
        meetsIt: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        answer: () => this.workload.answer(area),
        isBack: async () => void (await this.workload.recovered(area, BACK_WITHIN_MS + timeoutMs, name)),
        stopRouter: async () => void (await stage.router.stop()),
        startRouter: () => stage.startRouter(),
      });
    } catch (error) {
      this.workload.complain(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
    let backAfterMs = 0;
    for (const each of hurt) {
      backAfterMs = Math.max(backAfterMs, await this.workload.recovered(each, BACK_WITHIN_MS + timeoutMs, name));
    }
    isOver = true;
    await asking;
    target.proxy.forget();
    trouble.end(fault.isSilent ? answerWithinMs(timeoutMs) : 300);
    if (random.chance(0.3)) this.workload.interruptWatch(random.below(100));
    const happened = { fault: fault.name, area: area.name, backAfterMs: Math.round(backAfterMs) };
    this.happened.push(happened);
    this.options.onHappened?.(happened);
  }

  /** Replaces the router before the log is read, by SIGTERM or by kill -9. */
  end(isKilled: boolean): Promise<WorkloadVerdict> {
    const { stage } = this.options;
    return this.workload.end(async () => {
      await (isKilled ? stage.router.kill() : stage.router.stop());
      await stage.startRouter();
    });
  }
}
