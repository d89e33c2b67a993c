import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { FileLock } from './file-lock.js';
import { identifyProcess } from './process-identity.js';

describe('FileLock', () => {
  let folder = '';
  let path = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'file-lock-'));
    path = join(folder, 'lock');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('names its holder to whoever comes second', () => {
    const lock = FileLock.try(path);
    expect(lock).toBeInstanceOf(FileLock);
    expect(FileLock.try(path)).toEqual(identifyProcess(process.pid));
  });

  it('is free again after its release and leaves nothing behind', () => {
    const lock = FileLock.try(path);
    if (lock instanceof FileLock) lock.release();
    expect(readdirSync(folder)).toEqual([]);
    expect(FileLock.try(path)).toBeInstanceOf(FileLock);
  });

  it('is free when its holder was killed', async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
    const identity = identifyProcess(child.pid ?? 0);
    writeFileSync(path, JSON.stringify(identity));
    expect(FileLock.try(path)).toEqual(identity);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(FileLock.try(path)).toBeInstanceOf(FileLock);
    expect(readdirSync(folder)).toEqual(['lock']);
  });

  it('is free when its file holds no process', () => {
    writeFileSync(path, 'garbage');
    expect(FileLock.try(path)).toBeInstanceOf(FileLock);
  });

  it('lets a second one wait and tells it once for whom', async () => {
    const first = FileLock.try(path);
    const holders: number[] = [];
    const second = FileLock.acquire(path, {
      onWait: (holder) => {
        holders.push(holder.pid);
        if (first instanceof FileLock) first.release();
      },
    });
    expect(await second).toBeInstanceOf(FileLock);
    expect(holders).toEqual([process.pid]);
  });

  it('stops waiting when asked to', async () => {
    FileLock.try(path);
    const controller = new AbortController();
    const waiting = FileLock.acquire(path, { onWait: () => controller.abort(), signal: controller.signal });
    await expect(waiting).rejects.toThrow('aborted');
  });
});
