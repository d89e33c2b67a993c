// Compiles kubectl, etcd and etcdctl as programs of their own where the cache has them in one with kube-apiserver, and writes the folder that holds them; nothing
// where they are programs of their own already. Tests start them a thousand times, and each start of that one sets up all of Kubernetes.
import { mkdir, realpath, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Binaries, cacheRoot, ETCD_VERSION, KUBERNETES_VERSION, SetupError, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { buildGoProgram, type GoProgram } from '../go-program.js';
import { ProgramError } from '../run-program.js';

/** The module that pins their versions. */
const MODULE = '../libs/local-cluster/kubernetes';
const PROGRAMS = {
  kubectl: {
    name: 'kubectl',
    module: MODULE,
    package: 'k8s.io/kubernetes/cmd/kubectl',
    variables: { 'k8s.io/component-base/version.gitVersion': `v${KUBERNETES_VERSION}` },
  },
  etcd: { name: 'etcd', module: MODULE, package: 'go.etcd.io/etcd/server/v3' },
  etcdctl: { name: 'etcdctl', module: MODULE, package: 'go.etcd.io/etcd/etcdctl/v3' },
} as const satisfies Record<string, GoProgram>;

async function areOne(): Promise<boolean> {
  const found = await new Binaries({ env: readEnv(), progress: silent }).find(['kubectl', 'etcd', 'etcdctl']);
  const files = await Promise.all(Object.values(found).map(({ path }) => realpath(path)));
  return new Set(files).size === 1;
}

async function compile(cache: string): Promise<string> {
  const folder = join(cache, 'bin', `single-${KUBERNETES_VERSION}-etcd-${ETCD_VERSION}`);
  await mkdir(folder, { recursive: true });
  const note = (text: string): void => void process.stderr.write(`${text}\n`);
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const draft = join(folder, `.${name}.${process.pid}`);
    await symlink(await buildGoProgram(program, cache, note), draft);
    await rename(draft, join(folder, name));
  }
  return folder;
}

try {
  if (await areOne()) process.stdout.write(`${await compile(cacheRoot(readEnv()))}\n`);
} catch (error) {
  if (!(error instanceof ProgramError) && !(error instanceof SetupError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
