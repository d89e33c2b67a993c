import { describe, expect, it } from '@jest/globals';
import { ConfigError } from './flags.js';
import { createLogger } from './logger.js';
import { closeOnSignal, runMain, type ShutdownStep } from './shutdown.js';

/** A process whose exit is a promise. */
function fakeProcess(): {
  send(signal: string): void;
  exited: Promise<number>;
  on(signal: string, listener: () => void): void;
  exit(code: number): void;
} {
  const listeners = new Map<string, () => void>();
  const { promise, resolve } = Promise.withResolvers<number>();
  return {
    send: (signal) => listeners.get(signal)?.(),
    exited: promise,
    on: (signal, listener) => listeners.set(signal, listener),
    exit: resolve,
  };
}

function shutdown(steps: readonly ShutdownStep[], deadlineMs = 60_000): { process: ReturnType<typeof fakeProcess>; lines: string[] } {
  const lines: string[] = [];
  const process = fakeProcess();
  const logger = createLogger({ format: 'plain', debug: false, destination: { write: (line) => lines.push(line) } });
  closeOnSignal({ logger, steps: () => steps, deadlineMs, process });
  return { process, lines };
}

describe('closeOnSignal', () => {
  it.each(['SIGTERM', 'SIGINT'])('closes one step after another at %s and exits with 0', async (signal) => {
    const order: string[] = [];
    const step = (name: string): ShutdownStep => ({
      name,
      close: async () => {
        order.push(`${name} begins`);
        await Promise.resolve();
        order.push(`${name} ends`);
      },
    });
    const { process } = shutdown([step('listener'), step('store')]);
    process.send(signal);
    expect(await process.exited).toBe(0);
    expect(order).toEqual(['listener begins', 'listener ends', 'store begins', 'store ends']);
  });

  it('closes what follows a failed step, and exits with 1', async () => {
    let closed = false;
    const { process, lines } = shutdown([
      { name: 'listener', close: () => Promise.reject(new Error('stuck')) },
      {
        name: 'store',
        close: () => {
          closed = true;
        },
      },
    ]);
    process.send('SIGTERM');
    expect(await process.exited).toBe(1);
    expect(closed).toBe(true);
    expect(lines.join('')).toContain('shutdown step failed step=listener err=stuck');
  });

  it('exits with 1 when the deadline passes, naming the step', async () => {
    const { process, lines } = shutdown([{ name: 'store', close: () => new Promise(() => undefined) }], 1);
    process.send('SIGTERM');
    expect(await process.exited).toBe(1);
    expect(lines.join('')).toContain('shutdown takes too long, exiting step=store');
  });

  it('exits at once at a second signal', async () => {
    const hanging = Promise.withResolvers<undefined>();
    const { process } = shutdown([{ name: 'store', close: () => hanging.promise }]);
    process.send('SIGINT');
    process.send('SIGINT');
    expect(await process.exited).toBe(1);
    hanging.resolve(undefined);
  });
});

describe('runMain', () => {
  async function run(main: () => Promise<void>): Promise<{ text: string; exitCode: unknown }> {
    let text = '';
    const control: Parameters<typeof runMain>[2] = { stderr: { write: (written: string) => (text += written) } };
    await runMain('router', main, control);
    return { text, exitCode: control.exitCode };
  }

  it('says what is wrong with settings, a line each, and exits with 2', async () => {
    expect(await run(() => Promise.reject(new ConfigError(['a is wrong', 'b is wrong'])))).toEqual({
      text: 'router: a is wrong\nrouter: b is wrong\n',
      exitCode: 2,
    });
  });

  it('shows the stack of an error that nobody foresaw, and exits with 1', async () => {
    const { text, exitCode } = await run(() => Promise.reject(new TypeError('x is not a function')));
    expect(text).toMatch(/^router: TypeError: x is not a function\nrouter: {5}at /);
    expect(exitCode).toBe(1);
  });

  it('leaves a program alone that starts', async () => {
    expect(await run(() => Promise.resolve())).toEqual({ text: '', exitCode: undefined });
  });
});
