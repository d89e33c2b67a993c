import type { Env } from '@harikube/platform';
import { type Answer, answerOf } from './answer.js';

const ESTABLISHED_MS = 85_000;

/** kubectl with the cluster that its environment names. An object as input is written as JSON. */
export class Kubectl {
  constructor(
    readonly program: string,
    readonly env: Env,
  ) {}

  /** Whether it succeeds or not. */
  run(args: readonly string[], input?: string | object): Promise<Answer> {
    return answerOf(this.program, args, { env: this.env, input });
  }

  /** Everything that it says, warnings too; rejects when it fails. */
  async succeed(args: readonly string[], input?: string | object): Promise<string> {
    return wordsOf(await this.#success(args, input));
  }

  /** What it writes to stdout alone; rejects when it fails. */
  async read(args: readonly string[], input?: string | object): Promise<string> {
    return (await this.#success(args, input)).out.trim();
  }

  /** Everything that it says; rejects when it succeeds. */
  async refuse(args: readonly string[], input?: string | object): Promise<string> {
    const answer = await this.run(args, input);
    if (answer.code === 0) throw new Error(`kubectl ${args.join(' ')} was not refused: ${wordsOf(answer)}`);
    return wordsOf(answer);
  }

  /**
   * Resolves when the API server serves the kinds of these definitions, of all by default. A new definition has `conditions: null` for a moment, at which
   * `kubectl wait` gives up: it is asked again.
   */
  async established(definitions: readonly string[] = ['crd', '--all']): Promise<void> {
    const until = performance.now() + ESTABLISHED_MS;
    for (;;) {
      const args = ['wait', ...definitions, '--for=condition=Established', `--timeout=${ESTABLISHED_MS / 1000}s`];
      const answer = await this.run(args);
      if (answer.code === 0) return;
      if (!answer.err.includes('conditions accessor error') || performance.now() > until) throw failure(args, answer);
    }
  }

  async #success(args: readonly string[], input?: string | object): Promise<Answer> {
    const answer = await this.run(args, input);
    if (answer.code !== 0) throw failure(args, answer);
    return answer;
  }
}

function failure(args: readonly string[], answer: Answer): Error {
  return new Error(`kubectl ${args.join(' ')} ended with ${answer.code}: ${wordsOf(answer)}`);
}

function wordsOf({ out, err }: Answer): string {
  return (out + err).trim();
}
