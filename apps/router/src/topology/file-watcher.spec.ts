import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@harikube/platform';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ToldReadings } from '../spec/told-readings.js';
import { FileWatcher } from './file-watcher.js';

/** Longer than any of these specs: what is told in time was not found by looking at intervals. */
const NEVER_MS = 3_600_000;

let folder: string;
let told: ToldReadings;
let watcher: FileWatcher | null;

function follow(path: string, pollMs = NEVER_MS): void {
  const logger = createLogger({ format: 'plain', debug: false, destination: { write: () => true } });
  watcher = new FileWatcher({ path, logger, pollMs, settleMs: 20 });
  watcher.start(told.take);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-file-'));
  told = new ToldReadings();
  watcher = null;
});

afterEach(async () => {
  await watcher?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('FileWatcher', () => {
  it('tells what is there, and what is written in its place', async () => {
    const path = join(folder, 'topology.yaml');
    writeFileSync(path, 'one');
    follow(path);
    await told.text('one');
    writeFileSync(path, 'two');
    await told.text('two');
    expect(told.all).toHaveLength(2);
  });

  it('follows a file that is replaced by a rename', async () => {
    const path = join(folder, 'topology.yaml');
    writeFileSync(path, 'one');
    follow(path);
    await told.text('one');
    for (const text of ['two', 'three']) {
      writeFileSync(join(folder, 'draft'), text);
      renameSync(join(folder, 'draft'), path);
      await told.text(text);
    }
  });

  it('follows the link that the kubelet swaps', async () => {
    for (const [name, text] of [
      ['..1', 'one'],
      ['..2', 'two'],
    ] as const) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'topology.yaml'), text);
    }
    symlinkSync('..1', join(folder, '..data'));
    symlinkSync(join('..data', 'topology.yaml'), join(folder, 'topology.yaml'));
    follow(join(folder, 'topology.yaml'));
    await told.text('one');
    symlinkSync('..2', join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    await told.text('two');
    expect(told.all).toHaveLength(2);
  });

  it('says that the file is gone, and takes it up again', async () => {
    const path = join(folder, 'topology.yaml');
    writeFileSync(path, 'one');
    follow(path);
    await told.text('one');
    rmSync(path);
    await told.unreadable(`cannot read topology ${path}: there is no such file`);
    writeFileSync(path, 'two');
    await told.text('two');
  });

  it('says that there is no file, and finds it when its folder comes', async () => {
    const path = join(folder, 'later', 'topology.yaml');
    follow(path, 20);
    await told.unreadable('there is no such file');
    mkdirSync(join(folder, 'later'));
    writeFileSync(path, 'one');
    await told.text('one');
  });

  it('follows the folder that takes the place of its own', async () => {
    const path = join(folder, 'etc', 'topology.yaml');
    mkdirSync(join(folder, 'etc'));
    writeFileSync(path, 'one');
    follow(path, 20);
    await told.text('one');
    renameSync(join(folder, 'etc'), join(folder, 'old'));
    mkdirSync(join(folder, 'etc'));
    writeFileSync(path, 'two');
    await told.text('two');
    writeFileSync(path, 'three');
    await told.text('three');
  });

  it('follows what is behind a link', async () => {
    mkdirSync(join(folder, 'elsewhere'));
    mkdirSync(join(folder, 'etc'));
    writeFileSync(join(folder, 'elsewhere', 'topology.yaml'), 'one');
    symlinkSync(join(folder, 'elsewhere', 'topology.yaml'), join(folder, 'etc', 'topology.yaml'));
    follow(join(folder, 'etc', 'topology.yaml'), 20);
    await told.text('one');
    writeFileSync(join(folder, 'elsewhere', 'topology.yaml'), 'two');
    await told.text('two');
  });

  it('is not kept from looking by what goes on beside the file', async () => {
    const path = join(folder, 'topology.yaml');
    writeFileSync(path, 'one');
    follow(path);
    await told.text('one');
    const writing = setInterval(() => writeFileSync(join(folder, 'main.db-wal'), 'x'), 2);
    try {
      writeFileSync(path, 'two');
      await told.text('two');
    } finally {
      clearInterval(writing);
    }
  });

  it('tells nothing after its close', async () => {
    const path = join(folder, 'topology.yaml');
    writeFileSync(path, 'one');
    follow(path);
    await watcher?.close();
    expect(told.all).toEqual([]);
  });
});
