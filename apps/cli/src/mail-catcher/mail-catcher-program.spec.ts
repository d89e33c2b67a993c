import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { ConfigError, createLogger, Registry } from '@harikube/platform';
import { mailCatcherProgram } from './mail-catcher-program.js';

function reasons(...argv: string[]): readonly string[] {
  try {
    mailCatcherProgram.prepare(argv, {});
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.reasons;
    throw error;
  }
}

describe('mailCatcherProgram', () => {
  it('wants a folder, and addresses of this machine alone', () => {
    expect(reasons()).toEqual([expect.stringContaining('--mail-folder is not given')]);
    expect(reasons('--mail-folder=x', '--smtp-bind-address=localhost:1', '--http-bind-address=127.0.0.1:0')).toEqual([]);
    for (const address of [':8025', '0.0.0.0:8025', '0', '192.0.2.1:25'])
      expect(reasons('--mail-folder=x', `--http-bind-address=${address}`)).toEqual([
        `--http-bind-address=${address} is not on this machine alone; write 127.0.0.1:PORT`,
      ]);
  });

  it('starts and ends', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'harikube-catcher-'));
    let log = '';
    const logger = createLogger({ format: 'json', debug: false, destination: { write: (text) => (log += text) } });
    const argv = [`--mail-folder=${folder}`, '--smtp-bind-address=127.0.0.1:0', '--http-bind-address=127.0.0.1:0'];
    const running = await mailCatcherProgram.prepare(argv, {}).start({ logger, registry: new Registry() });
    const { url } = JSON.parse(log) as { url: string };
    expect((await fetch(url)).status).toBe(200);
    await running.close();
    await expect(fetch(url)).rejects.toThrow();
    rmSync(folder, { recursive: true });
  });
});
