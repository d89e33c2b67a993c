import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, copyFile, cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileGo } from '../go-program.js';
import { runProgram } from '../run-program.js';

/** The packages of k8s.io/apiserver whose tests talk to a store. */
const SUITES = { etcd3: 'pkg/storage/etcd3', cacher: 'pkg/storage/cacher', factory: 'pkg/storage/storagebackend/factory' } as const;
export type Suite = keyof typeof SUITES;

const SOURCES = fileURLToPath(new URL('../../conformance/testserver', import.meta.url));

/**
 * Compiles the storage tests of one version of k8s.io/apiserver with our testserver in the place of its own, or finds
 * them compiled. Returns the folder with one program `<suite>.test` per suite. Needs Go and takes minutes the first time.
 */
export async function buildStorageTests(version: string, cache: string, note: (text: string) => void): Promise<string> {
  const sources = ['server.go', 'certificates.go', isFrom137(version) ? 'recorders_1_37.go' : 'recorders.go'].map((name) =>
    join(SOURCES, name),
  );
  const goVersion = (await runProgram('go', ['env', 'GOVERSION'])).trim();
  const hash = createHash('sha256').update(goVersion);
  for (const source of sources) hash.update(await readFile(source));
  const parent = join(cache, 'storage-tests');
  const folder = join(parent, `${version}-${hash.digest('hex').slice(0, 12)}`);
  if (await exists(folder)) return folder;

  await mkdir(parent, { recursive: true });
  const work = await mkdtemp(join(parent, 'build-'));
  try {
    note(`getting k8s.io/apiserver v${version}`);
    const answer = await runProgram('go', ['mod', 'download', '-json', `k8s.io/apiserver@v${version}`], { cwd: work });
    const { Dir: module } = JSON.parse(answer) as { Dir: string };
    const copy = join(work, 'apiserver');
    // The module cache is read-only, also for -overlay.
    await cp(module, copy, { recursive: true, mode: constants.COPYFILE_FICLONE });
    await runProgram('chmod', ['-R', 'u+w', copy]);
    const testserver = join(copy, 'pkg/storage/etcd3/testserver');
    await rm(testserver, { recursive: true });
    await mkdir(testserver);
    for (const source of sources) await copyFile(source, join(testserver, basename(source)));

    const programs = join(work, 'programs');
    for (const [suite, folderOfPackage] of Object.entries(SUITES)) {
      note(`compiling the tests of ${folderOfPackage} (the first one takes some minutes)`);
      const target = join(programs, `${suite}.test`);
      await compileGo({ command: ['test', '-c', '-vet=off'], package: `./${folderOfPackage}`, folder: copy, target });
    }
    await rename(programs, folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return folder;
}

function isFrom137(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 0 || minor >= 37;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
