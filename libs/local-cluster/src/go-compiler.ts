import { availableParallelism, totalmem } from 'node:os';
import type { Env } from '@harikube/platform';

/** Debug information would be a seventh of the work, and the linker leaves it out. */
const PLAIN = '-dwarf=false';

/**
 * What no request to kube-apiserver goes through: generated clients, controllers, commands and tests. Their functions are not inlined into each other, which
 * is much of the work of compiling Kubernetes. Everything else, all of etcd too, is optimized as usual: its speed is measured.
 */
const NOT_INLINED = [
  'github.com/google/cadvisor',
  'helm.sh/helm',
  'k8s.io/apiextensions-apiserver/pkg/client',
  'k8s.io/cli-runtime',
  'k8s.io/client-go/applyconfigurations',
  'k8s.io/client-go/informers',
  'k8s.io/client-go/kubernetes',
  'k8s.io/cloud-provider',
  'k8s.io/kube-aggregator/pkg/client',
  'k8s.io/kubectl',
  'k8s.io/kubernetes/pkg/controller',
  'k8s.io/kubernetes/pkg/generated',
  'k8s.io/kubernetes/pkg/kubelet',
  'k8s.io/kubernetes/pkg/scheduler',
  'k8s.io/kubernetes/pkg/volume',
  'k8s.io/kubernetes/test',
  'k8s.io/metrics',
  'sigs.k8s.io/kustomize',
];

/**
 * The same for every program in Go, so that what several need is compiled once. Not -trimpath: with it a package is known by the version that its module is required in, so that
 * where one go.mod replaces that by the version of another one, everything above it would be compiled again.
 */
export const COMPILER_FLAGS: readonly string[] = [
  `-gcflags=all=${PLAIN}`,
  ...NOT_INLINED.map((folder) => `-gcflags=${folder}/...=${PLAIN} -l`),
];

const GIB = 2 ** 30;
/** A compiler or linker collects no garbage below this heap. */
const FREE_HEAP_GIB = 2;

interface Machine {
  /** Bytes. */
  readonly memory: number;
  /** As many compilers run at a time. */
  readonly processors: number;
}

/**
 * The environment of a `go build`. A fifth of what compilers do is collecting garbage that would be gone with them: where there is
 * memory for all of them they do so only above a heap of 2 GiB. What the user says about Go's collector goes first.
 */
export function compilerEnv(env: Env, { memory, processors }: Machine = thisMachine()): Env {
  const isRoomy = memory >= 2 * FREE_HEAP_GIB * GIB * processors;
  if (!isRoomy || env['GOGC'] !== undefined || env['GOMEMLIMIT'] !== undefined) return env;
  return { ...env, GOGC: 'off', GOMEMLIMIT: `${FREE_HEAP_GIB}GiB` };
}

/** A container may have less than its machine. */
function thisMachine(): Machine {
  return { memory: Math.min(totalmem(), process.constrainedMemory() || Infinity), processors: availableParallelism() };
}
