import { isNativeError } from 'node:util/types';
import type { Logger } from './logger.js';

/** One thing to end, in its turn. */
export interface ShutdownStep {
  readonly name: string;
  close(): Promise<void> | void;
}

/** The part of `process` that ends a program. */
export interface ProcessControl {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
  exit(code: number): void;
}

export interface ShutdownOptions {
  readonly logger: Logger;
  /** Asked for when the signal comes: what had been opened by then, in the order in which to end it. */
  readonly steps: () => readonly ShutdownStep[];
  /** The process ends by then, whatever is still open. */
  readonly deadlineMs: number;
  readonly process?: ProcessControl;
}

/**
 * Ends the program at SIGTERM or SIGINT: the steps one after another, then exit code 0; 1 when a step failed or the deadline
 * passed. A failed step does not keep the following from being closed. A second signal ends it at once.
 */
export function closeOnSignal({ logger, steps, deadlineMs, process: control = process }: ShutdownOptions): void {
  let isClosing = false;
  const onSignal = (signal: string): void => {
    if (isClosing) {
      logger.warn('second signal, exiting at once', { signal });
      control.exit(1);
      return;
    }
    isClosing = true;
    logger.info('shutting down', { signal });
    let current = '';
    const deadline = setTimeout(() => {
      logger.error('shutdown takes too long, exiting', { step: current, deadlineMs });
      control.exit(1);
    }, deadlineMs);
    const closeAll = async (): Promise<void> => {
      let code = 0;
      for (const step of steps()) {
        current = step.name;
        try {
          await step.close();
        } catch (err) {
          logger.error('shutdown step failed', { step: step.name, err });
          code = 1;
        }
      }
      clearTimeout(deadline);
      logger.info('stopped');
      control.exit(code);
    };
    void closeAll();
  };
  control.on('SIGTERM', () => {
    onSignal('SIGTERM');
  });
  control.on('SIGINT', () => {
    onSignal('SIGINT');
  });
}

/** The part of `process` that reports why a program did not start. */
export interface ExitControl {
  readonly stderr: { write(text: string): unknown };
  exitCode?: number | string | null | undefined;
}

/**
 * Runs a program's main function. When it throws, standard error says why: a sentence for an error that names its own exit
 * code (`ConfigError`), else the stack too; then the process ends with that code, or 1.
 */
export async function runMain(name: string, main: () => Promise<void>, control: ExitControl = process): Promise<void> {
  try {
    await main();
  } catch (error) {
    const code = isNativeError(error) && 'exitCode' in error && typeof error.exitCode === 'number' ? error.exitCode : undefined;
    const text = isNativeError(error) ? (code === undefined ? (error.stack ?? error.message) : error.message) : String(error);
    control.stderr.write(`${text.replace(/^/gm, `${name}: `)}\n`);
    control.exitCode = code ?? 1;
  }
}
