import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { identifyProcess, isRunning, parseIdentity } from './process-identity.js';

describe('identifyProcess', () => {
  it('recognises this process', () => {
    const identity = identifyProcess(process.pid);
    expect(identity?.pid).toBe(process.pid);
    expect(identity !== null && isRunning(identity)).toBe(true);
  });

  it('tells a process from another one that has its pid', () => {
    const identity = identifyProcess(process.pid);
    expect(isRunning({ pid: process.pid, startedAt: `${identity?.startedAt}0` })).toBe(false);
  });

  it('knows that a process has ended', async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
    const identity = identifyProcess(child.pid ?? 0);
    expect(identity !== null && isRunning(identity)).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(identity !== null && isRunning(identity)).toBe(false);
  });
});

describe('parseIdentity', () => {
  it.each(['', '{', 'null', '[]', '{"pid":1,"startedAt":"x"}', '{"pid":-5,"startedAt":"x"}', '{"pid":"7","startedAt":"x"}', '{"pid":7}'])(
    'finds none in %j',
    (text) => {
      expect(parseIdentity(text)).toBeNull();
    },
  );

  it('reads what was written', () => {
    expect(parseIdentity('{"pid":7,"startedAt":"boot/9"}')).toEqual({ pid: 7, startedAt: 'boot/9' });
  });
});
