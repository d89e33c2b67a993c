import type { Clock } from '@harikube/kube';
import type { TriggerEvent } from '../trigger-event.js';
import type { Sender } from '../trigger-runner.js';
import type { Attempt, SenderProblem } from '../trigger-sender.js';

export interface Sent {
  readonly id: string;
  readonly type: TriggerEvent['type'];
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly attempt: number;
  readonly event: TriggerEvent;
}

export const DELIVERED: Attempt = { outcome: 'delivered', code: 204 };

export function temporary(reason = 'HTTP503', more: Partial<Attempt> = {}): Attempt {
  return {
    outcome: 'temporary',
    reason,
    message: `it is ${reason}`,
    code: reason.startsWith('HTTP') ? Number(reason.slice(4)) : undefined,
    ...more,
  } as Attempt;
}

export function refused(reason = 'HTTP400'): Attempt {
  return { outcome: 'refused', reason, message: `it is ${reason}`, code: Number(reason.slice(4)) };
}

/** A destination that answers as a spec says. */
export class FakeSender implements Sender {
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  #problems: readonly SenderProblem[] = [];
  /** Every attempt, when it begins. */
  readonly attempts: Sent[] = [];
  /** What was taken, when it was. */
  readonly delivered: Sent[] = [];
  readonly deadLetters: (Sent & { readonly reason: string })[] = [];
  answer: (sent: Sent) => Attempt = () => DELIVERED;
  answerDeadLetter: (sent: Sent) => Attempt = () => DELIVERED;
  filter: (event: TriggerEvent) => ReturnType<Sender['matches']> = () => 'yes';
  /** Of an attempt; 0: it ends in the same turn. */
  latencyMs = 0;
  isClosed = false;
  running = 0;
  mostRunning = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  problems(): readonly SenderProblem[] {
    return this.#problems;
  }

  setProblems(problems: readonly SenderProblem[]): void {
    this.#problems = problems;
    for (const listener of this.#listeners) listener();
  }

  onProblemsChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  matches(event: TriggerEvent): ReturnType<Sender['matches']> {
    return this.filter(event);
  }

  async send(event: TriggerEvent, attempt: number, signal: AbortSignal): Promise<Attempt> {
    const sent = sentOf(event, attempt);
    this.attempts.push(sent);
    this.running++;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    try {
      if (this.latencyMs > 0) await this.#clock.sleep(this.latencyMs, signal);
      signal.throwIfAborted();
      const answer = this.answer(sent);
      if (answer.outcome === 'delivered') this.delivered.push(sent);
      return answer;
    } finally {
      this.running--;
    }
  }

  async sendDeadLetter(event: TriggerEvent, { reason }: { readonly reason: string }, signal: AbortSignal): Promise<Attempt> {
    signal.throwIfAborted();
    const sent = sentOf(event, 1);
    const answer = this.answerDeadLetter(sent);
    if (answer.outcome === 'delivered') this.deadLetters.push({ ...sent, reason });
    return answer;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

function sentOf(event: TriggerEvent, attempt: number): Sent {
  const { name = '', uid = '' } = event.object.metadata;
  const { id, type, resourceVersion } = event;
  return { id, type, name, uid, resourceVersion, attempt, event };
}
