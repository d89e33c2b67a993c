import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { endLeftovers, ManagedProcess, type ManagedProcessOptions, type ProcessEvent, ProcessStartError } from './managed-process.js';
import { identifyProcess, isRunning } from './process-identity.js';
import { Supervisor } from './supervisor.js';

/** A program that appends a line to a file when it starts and one when it is asked to end. */
const POLITE = `
  const fs = require('node:fs');
  const say = (text) => fs.appendFileSync(process.argv[1], text + ' ' + process.argv[2] + '\\n');
  process.on('SIGTERM', () => { say('stopped'); process.exit(0); });
  process.stdin.resume();
  setInterval(() => {}, 1000);
  say('started');
`;
const DEAF = POLITE.replace("say('stopped'); process.exit(0);", "say('asked');");

describe('ManagedProcess', () => {
  let folder = '';
  let diary = '';
  const running: ManagedProcess[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'managed-process-'));
    diary = join(folder, 'diary');
    writeFileSync(diary, '');
  });
  afterEach(async () => {
    for (const process of running.splice(0)) await process.stop();
    rmSync(folder, { recursive: true });
  });

  const lines = (): string[] => readFileSync(diary, 'utf8').trim().split('\n');
  const managed = (name: string, script: string, options: Partial<ManagedProcessOptions> = {}): ManagedProcess => {
    const made = new ManagedProcess({
      name,
      command: process.execPath,
      args: ['-e', script, diary, name],
      env: {},
      logFolder: join(folder, 'logs'),
      runFolder: join(folder, 'run'),
      isReady: () => Promise.resolve(lines().includes(`started ${name}`)),
      ...options,
    });
    running.push(made);
    return made;
  };

  it('is started when it says that it is ready, and stopped when it has ended', async () => {
    const child = managed('polite', POLITE);
    await child.start();
    const identity = identifyProcess(child.pid ?? 0);
    expect(identity !== null && isRunning(identity)).toBe(true);
    await child.stop();
    expect(lines()).toEqual(['started polite', 'stopped polite']);
    expect(identity !== null && isRunning(identity)).toBe(false);
    expect(child.pid).toBeNull();
    expect(readdirSync(join(folder, 'run'))).toEqual([]);
  });

  it('kills what does not follow SIGTERM in time', async () => {
    const events: ProcessEvent[] = [];
    const child = managed('deaf', DEAF, { stopTimeoutMilliseconds: 200, onEvent: (event) => events.push(event) });
    await child.start();
    const identity = identifyProcess(child.pid ?? 0);
    await child.stop();
    expect(lines()).toContain('asked deaf');
    expect(events).toEqual([{ type: 'killed', name: 'deaf', afterMilliseconds: 200 }]);
    expect(identity !== null && isRunning(identity)).toBe(false);
  });

  it('shows the end of the log of a process that dies at its start', async () => {
    const child = managed('broken', `console.log('line one'); console.error('no such table'); process.exit(3)`, {
      isReady: () => Promise.resolve(false),
    });
    const error: unknown = await child.start().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ProcessStartError);
    if (!(error instanceof ProcessStartError)) return;
    expect(error.how).toBe('exited with code 3');
    expect(error.output).toEqual(['line one', 'no such table']);
    expect(error.message).toContain('no such table');
    expect(error.message).toContain(child.logFile);
  });

  it('shows nothing of an earlier run', async () => {
    const first = managed('broken', `console.log('first'); process.exit(3)`, { isReady: () => Promise.resolve(false) });
    await first.start().catch(() => undefined);
    const second = managed('broken', `console.log('second'); process.exit(3)`, { isReady: () => Promise.resolve(false) });
    await expect(second.start()).rejects.toMatchObject({ output: ['second'] });
  });

  it('ends a process that is not ready in time', async () => {
    const child = managed('late', POLITE, { isReady: () => Promise.resolve(false), readyTimeoutMilliseconds: 300 });
    await expect(child.start()).rejects.toThrow('late was not ready within 0.3s');
    expect(child.pid).toBeNull();
  });

  it('ends a process whose start is given up', async () => {
    const controller = new AbortController();
    const child = managed('given-up', POLITE, {
      isReady: () => {
        controller.abort();
        return Promise.resolve(false);
      },
    });
    await expect(child.start(controller.signal)).rejects.toThrow('aborted');
    expect(child.pid).toBeNull();
  });

  it('starts a process again when it dies, as often as it dies', async () => {
    const events: ProcessEvent[] = [];
    const heard = new EventTarget();
    const child = managed('mortal', POLITE, {
      backoff: { initialMilliseconds: 1, maximumMilliseconds: 4 },
      onEvent: (event) => {
        events.push(event);
        heard.dispatchEvent(new Event(event.type));
      },
    });
    await child.start();
    for (let death = 0; death < 2; death++) {
      const restarted = once(heard, 'restarted');
      process.kill(child.pid ?? 0, 'SIGKILL');
      await restarted;
    }
    expect(events.map(({ type }) => type)).toEqual(['died', 'restarted', 'died', 'restarted']);
    expect(events[0]).toMatchObject({ name: 'mortal', how: 'was ended by SIGKILL', restartInMilliseconds: 1 });
    expect(identifyProcess(child.pid ?? 0)).not.toBeNull();
  });

  it('doubles the pause before each restart up to its limit', async () => {
    const pauses: number[] = [];
    let tell: () => void = () => undefined;
    const enough = new Promise<void>((resolve) => (tell = resolve));
    const child = managed('short-lived', `process.exit(1)`, {
      isReady: undefined,
      command: process.execPath,
      backoff: { initialMilliseconds: 1, maximumMilliseconds: 4 },
      onEvent: (event) => {
        if (event.type === 'died') pauses.push(event.restartInMilliseconds);
        if (pauses.length === 4) tell();
      },
    });
    await child.start();
    await enough;
    await child.stop();
    expect(pauses).toEqual([1, 2, 4, 4]);
  });

  it('does not start a process again that was stopped', async () => {
    const events: ProcessEvent[] = [];
    const child = managed('polite', POLITE, { onEvent: (event) => events.push(event) });
    await child.start();
    await child.stop();
    expect(events).toEqual([]);
  });

  it('stops in the opposite order of the starts', async () => {
    const supervisor = new Supervisor();
    for (const name of ['first', 'second', 'third']) await supervisor.start(managed(name, POLITE));
    await supervisor.stop();
    expect(lines()).toEqual(['started first', 'started second', 'started third', 'stopped third', 'stopped second', 'stopped first']);
  });

  it('ends with a parent that is killed, or by the next run of the same folder', async () => {
    const module = new URL('./managed-process.js', import.meta.url).href;
    const parent = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { readFileSync } from 'node:fs';
         const { ManagedProcess } = await import(${JSON.stringify(module)});
         const child = new ManagedProcess({
           name: 'orphan', command: process.execPath, args: ['-e', ${JSON.stringify(POLITE)}, ${JSON.stringify(diary)}, 'orphan'], env: {},
           logFolder: ${JSON.stringify(join(folder, 'logs'))}, runFolder: ${JSON.stringify(join(folder, 'run'))},
           isReady: async () => readFileSync(${JSON.stringify(diary)}, 'utf8').includes('started orphan'),
         });
         await child.start();
         console.log(child.pid);`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const identity = identifyProcess(Number(line.toString()));
    expect(identity !== null && isRunning(identity)).toBe(true);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await endLeftovers(join(folder, 'run'));
    expect(identity !== null && isRunning(identity)).toBe(false);
    expect(readdirSync(join(folder, 'run'))).toEqual([]);
  });
});

describe('endLeftovers', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'leftovers-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('ends the process of a record and says its name', async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
    const exit = once(child, 'exit');
    writeFileSync(join(folder, 'left.json'), JSON.stringify(identifyProcess(child.pid ?? 0)));
    expect(await endLeftovers(folder)).toEqual(['left']);
    expect(await exit).toEqual([null, 'SIGTERM']);
    expect(existsSync(join(folder, 'left.json'))).toBe(false);
  });

  it('spares a process that merely has the pid of a record', async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
    const identity = identifyProcess(child.pid ?? 0);
    writeFileSync(join(folder, 'other.json'), JSON.stringify({ ...identity, startedAt: 'long ago' }));
    expect(await endLeftovers(folder)).toEqual([]);
    expect(identity !== null && isRunning(identity)).toBe(true);
    child.kill('SIGKILL');
  });

  it('finds nothing where nothing ever ran', async () => {
    expect(await endLeftovers(join(folder, 'none'))).toEqual([]);
    mkdirSync(join(folder, 'empty'));
    expect(await endLeftovers(join(folder, 'empty'))).toEqual([]);
  });
});
