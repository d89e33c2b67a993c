import { setTimeout as delay } from 'node:timers/promises';
import { MissingObjectError } from './container-environment.js';
import type { ContainerProcess } from './container-process.js';
import type { Container, ContainerStatus, Probe } from './pod.js';
import { attempt } from './probe.js';

/** How a container ended that was told to. */
export interface Ending {
  readonly container: string;
  readonly exitCode: number;
  /** From the begin of its preStop hook, or from SIGTERM. */
  readonly milliseconds: number;
  /** How long it had run when it was told. */
  readonly ageMilliseconds: number;
  /** It did not end within its grace period. */
  readonly isKilled: boolean;
}

export interface ContainerRunnerOptions {
  readonly container: Container;
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never';
  readonly address: string;
  readonly terminationGracePeriodSeconds: number;
  /** Throws `MissingObjectError` while something of its environment is not there. */
  readonly start: () => ContainerProcess;
  /** Resolves when an object has changed that Pods refer to. */
  readonly objectsChanged: (signal: AbortSignal) => Promise<void>;
  /** The status is another. */
  readonly onChange: () => void;
}

const FIRST_BACK_OFF_MS = 10_000;
const LONGEST_BACK_OFF_MS = 300_000;
/** Who ran for so long begins anew with the first pause. */
const RECOVERED_MS = 600_000;
/** SIGTERM gets this long at least, as the kubelet has it. */
const LEAST_GRACE_SECONDS = 2;

/** A container, its probes and its restarts. */
export class ContainerRunner {
  readonly status: ContainerStatus;
  readonly #options: ContainerRunnerOptions;
  readonly #stopping = new AbortController();
  #process: ContainerProcess | null = null;

  constructor(options: ContainerRunnerOptions) {
    this.#options = options;
    const { name, image } = options.container;
    const state = { waiting: { reason: 'ContainerCreating' } };
    this.status = { name, image, imageID: image, ready: false, started: false, restartCount: 0, state, lastState: {} };
  }

  /** Resolves to its exit code when it has ended and will not be started again; null: it was told to end before it ran. */
  async run(): Promise<number | null> {
    const { restartPolicy } = this.#options;
    let pauseMs = 0;
    for (;;) {
      const process = await this.#start();
      if (process === null) return null;
      const { exitCode } = await this.#runOnce(process);
      if (this.#stopping.signal.aborted || restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && exitCode === 0)) return exitCode;
      if (Date.now() - process.startedAt.getTime() > RECOVERED_MS) pauseMs = 0;
      this.status.lastState = this.status.state;
      this.status.restartCount++;
      if (pauseMs > 0) {
        this.status.state = { waiting: { reason: 'CrashLoopBackOff', message: `back-off ${pauseMs / 1000}s restarting failed container` } };
        this.#options.onChange();
        await delay(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
        if (this.#stopping.signal.aborted) return exitCode;
      }
      pauseMs = Math.min(LONGEST_BACK_OFF_MS, pauseMs === 0 ? FIRST_BACK_OFF_MS : pauseMs * 2);
    }
  }

  /** Nothing is started any more. */
  abandon(): void {
    this.#stopping.abort();
  }

  /** Its preStop hook, SIGTERM and, after the grace period, SIGKILL; null: it did not run. */
  async stop(graceSeconds: number): Promise<Ending | null> {
    this.#stopping.abort();
    return await this.#end(graceSeconds);
  }

  async #end(graceSeconds: number): Promise<Ending | null> {
    const process = this.#process;
    if (process === null || process.hasEnded) return null;
    const { container } = this.#options;
    const begin = performance.now();
    const ageMilliseconds = Date.now() - process.startedAt.getTime();
    const preStop = container.lifecycle?.preStop;
    if (preStop !== undefined && graceSeconds > 0) {
      const timeoutMs = graceSeconds * 1000;
      if (preStop.sleep === undefined) await this.#attempt(preStop, process, timeoutMs);
      else await delay(Math.min(preStop.sleep.seconds * 1000, timeoutMs));
    }
    const leftMs = Math.max(LEAST_GRACE_SECONDS * 1000, graceSeconds * 1000 - (performance.now() - begin));
    let isKilled = false;
    const timer = setTimeout(
      () => {
        isKilled = true;
        void process.signal('SIGKILL');
      },
      graceSeconds === 0 ? 0 : leftMs,
    );
    await process.signal('SIGTERM');
    const { exitCode } = await process.ended;
    clearTimeout(timer);
    return { container: container.name, exitCode, milliseconds: performance.now() - begin, ageMilliseconds, isKilled };
  }

  /** Waits for what its environment refers to. */
  async #start(): Promise<ContainerProcess | null> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        return (this.#process = this.#options.start());
      } catch (error) {
        if (!(error instanceof MissingObjectError)) throw error;
        this.status.state = { waiting: { reason: 'CreateContainerConfigError', message: error.message } };
        this.#options.onChange();
        await this.#options.objectsChanged(signal);
      }
    }
    return null;
  }

  async #runOnce(process: ContainerProcess): Promise<{ readonly exitCode: number }> {
    const { container, onChange } = this.#options;
    const startedAt = process.startedAt.toISOString();
    const containerID = `stand-in://${container.name}-${this.status.restartCount}`;
    Object.assign(this.status, { state: { running: { startedAt } }, containerID, started: container.startupProbe === undefined });
    this.status.ready = this.status.started && container.readinessProbe === undefined;
    onChange();
    const probing = new AbortController();
    const probes = this.#probe(process, probing.signal);
    const { exitCode, signal } = await process.ended;
    probing.abort();
    await probes;
    const reason = exitCode === 0 ? 'Completed' : 'Error';
    const terminated = { exitCode, signal: signal ?? undefined, reason, startedAt, finishedAt: new Date().toISOString(), containerID };
    Object.assign(this.status, { state: { terminated }, ready: false, started: false });
    onChange();
    return { exitCode };
  }

  async #probe(process: ContainerProcess, signal: AbortSignal): Promise<void> {
    const { container, onChange } = this.#options;
    const { startupProbe, livenessProbe, readinessProbe } = container;
    if (startupProbe !== undefined) {
      const hasStarted = await this.#untilTold(startupProbe, process, signal);
      if (!hasStarted) return;
      this.status.started = true;
      this.status.ready = readinessProbe === undefined;
      onChange();
    }
    await Promise.all([
      livenessProbe === undefined ? undefined : this.#untilTold(livenessProbe, process, signal, { endsWithSuccess: false }),
      readinessProbe === undefined
        ? undefined
        : this.#follow(readinessProbe, process, signal, (isReady) => {
            if (this.status.ready === isReady) return;
            this.status.ready = isReady;
            onChange();
          }),
    ]);
  }

  /** False: it failed too often, and the container has been told to end, or has ended. */
  async #untilTold(
    probe: Probe,
    process: ContainerProcess,
    signal: AbortSignal,
    { endsWithSuccess = true }: { readonly endsWithSuccess?: boolean } = {},
  ): Promise<boolean> {
    const told = new AbortController();
    const either = AbortSignal.any([signal, told.signal]);
    let isSuccess = false;
    await this.#follow(probe, process, either, (succeeds) => {
      if (succeeds && !endsWithSuccess) return;
      isSuccess = succeeds;
      told.abort();
    });
    if (!isSuccess && !signal.aborted) {
      void this.#end(probe.terminationGracePeriodSeconds ?? this.#options.terminationGracePeriodSeconds);
    }
    return isSuccess;
  }

  /** Tells each time that the thresholds are passed. Resolves when the signal aborts. */
  async #follow(probe: Probe, process: ContainerProcess, signal: AbortSignal, tell: (succeeds: boolean) => void): Promise<void> {
    const { initialDelaySeconds = 0, periodSeconds = 10, timeoutSeconds = 1, successThreshold = 1, failureThreshold = 3 } = probe;
    let successes = 0;
    let failures = 0;
    try {
      await delay(initialDelaySeconds * 1000, undefined, { signal });
      for (;;) {
        const failure = await this.#attempt(probe, process, timeoutSeconds * 1000);
        if (signal.aborted) return;
        successes = failure === null ? successes + 1 : 0;
        failures = failure === null ? 0 : failures + 1;
        if (successes >= successThreshold) tell(true);
        if (failures >= failureThreshold) tell(false);
        await delay(periodSeconds * 1000, undefined, { signal });
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #attempt(probe: Probe, process: ContainerProcess, timeoutMs: number): Promise<string | null> {
    const { container, address } = this.#options;
    return attempt(probe, container, { address, timeoutMs, exec: (command, limit) => process.exec(command, limit) });
  }
}
