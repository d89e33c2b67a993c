import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { silent, unpackDebianPackage } from '@harikube/local-cluster';
import { type Env, readEnv } from '@harikube/platform';
import puppeteer, { type Browser } from 'puppeteer-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** A real browser without a window: the one on PATH, else Debian's, unpacked into the cache folder, whatever home a test gives its programs. */
export async function launchBrowser(): Promise<Browser> {
  const env = readEnv();
  const onPath = (env['PATH'] ?? '')
    .split(delimiter)
    .flatMap((folder) => NAMES.map((name) => join(folder, name)))
    .find(isExecutable);
  const { program, libraryPath } = onPath === undefined ? await unpackedChromium(env) : { program: onPath, libraryPath: undefined };
  return await puppeteer.launch({
    executablePath: program,
    // Chromium's own sandbox needs what containers and root do not give; the pages are the tests' own.
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    env: { ...env, ...(libraryPath === undefined ? {} : { LD_LIBRARY_PATH: libraryPath }) },
  });
}

async function unpackedChromium(env: Env): Promise<{ program: string; libraryPath: string }> {
  const { root, libraryPath } = await unpackDebianPackage('chromium', { env, progress: silent });
  return { program: join(root, 'usr/lib/chromium/chromium'), libraryPath };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
