import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clusterRolesFile, crdFiles } from '@harikube/crds';
import {
  Binaries,
  type Certificates,
  ControlPlane,
  type ControlPlaneOptions,
  loadCertificate,
  loadCertificates,
  PlainEtcd,
  silent,
  writeKubeconfig,
} from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { RouterProcess } from '../fault/router-process.js';
import { Kubectl } from './kubectl.js';

type Stop = () => Promise<unknown> | void;

export interface RunningClusterOptions extends Pick<ControlPlaneOptions, 'controllerManager' | 'extraApiServerArgs' | 'serviceRange'> {
  /** Part of the name of its folder. */
  readonly name: string;
  /** A plain etcd, or a router on one SQLite file. */
  readonly store: 'etcd' | 'router';
  /** Of the router, beside its own; the API server's kubeconfig will be `kubeconfig` in the folder. */
  readonly routerFlags?: (folder: string) => readonly string[];
}

type Parts = Pick<RunningCluster, 'folder' | 'storeUrl' | 'router' | 'kubectl' | 'certificates'> & {
  readonly controlPlane: ControlPlane;
  readonly stops: Stop[];
};

/** A control plane of the test's own, with its store, its folder and a kubectl of its administrator. */
export class RunningCluster {
  /** Removed by `stop`. Whatever the test writes may lie in it. */
  readonly folder: string;
  /** Where the store serves the etcd API. */
  readonly storeUrl: string;
  /** Null: the store is an etcd. */
  readonly router: RouterProcess | null;
  readonly kubectl: Kubectl;
  readonly certificates: Certificates;
  readonly #controlPlane: ControlPlane;
  readonly #stops: Stop[];

  private constructor({ folder, storeUrl, router, kubectl, certificates, controlPlane, stops }: Parts) {
    this.folder = folder;
    this.storeUrl = storeUrl;
    this.router = router;
    this.kubectl = kubectl;
    this.certificates = certificates;
    this.#controlPlane = controlPlane;
    this.#stops = stops;
  }

  /** Resolves when the Kubernetes API is ready; on a failure nothing is left. */
  static async start({ name, store, routerFlags = () => [], ...options }: RunningClusterOptions): Promise<RunningCluster> {
    const folder = await mkdtemp(join(tmpdir(), `harikube-${name}-`));
    const stops: Stop[] = [() => rm(folder, { recursive: true, force: true })];
    try {
      const env = { ...readEnv(), NODE_OPTIONS: '' };
      const binaries = new Binaries({ env, progress: silent });
      const found = await binaries.find(['kube-apiserver', 'kube-controller-manager', 'kubectl']);
      let storeUrl: string;
      let router: RouterProcess | null = null;
      if (store === 'etcd') {
        const etcd = new PlainEtcd({ dataDir: folder, program: (await binaries.find(['etcd'])).etcd.path, env });
        stops.unshift(() => etcd.stop());
        await etcd.start();
        storeUrl = etcd.url;
      } else {
        const started = await RouterProcess.start({ database: join(folder, 'main.db'), flags: routerFlags(folder) });
        stops.unshift(() => started.kill());
        storeUrl = started.address;
        router = started;
      }
      const controlPlane = new ControlPlane({
        dataDir: folder,
        programs: { 'kube-apiserver': found['kube-apiserver'].path, 'kube-controller-manager': found['kube-controller-manager'].path },
        port: 0,
        etcdServers: [storeUrl],
        env,
        ...options,
      });
      stops.unshift(() => controlPlane.stop());
      await controlPlane.start();
      // kubectl keeps what it discovers below HOME.
      const kubectl = new Kubectl(found.kubectl.path, { ...env, KUBECONFIG: controlPlane.kubeconfigFile, HOME: folder });
      const certificates = await loadCertificates(join(folder, 'pki'));
      return new RunningCluster({ folder, storeUrl, router, kubectl, certificates, controlPlane, stops });
    } catch (error) {
      for (const stop of stops) await stop();
      throw error;
    }
  }

  get url(): string {
    return this.#controlPlane.url;
  }

  /** Of the administrator. */
  get kubeconfigFile(): string {
    return this.#controlPlane.kubeconfigFile;
  }

  /** What the test started besides: it is stopped before the cluster, and before what was started earlier. */
  beforeStop(stop: Stop): void {
    this.#stops.unshift(stop);
  }

  /** The CustomResourceDefinitions and their roles; resolves when the API knows them. */
  async installCrds(): Promise<void> {
    await this.kubectl.succeed(['apply', '--server-side', ...[...crdFiles(), clusterRolesFile()].flatMap((file) => ['-f', file])]);
    await this.kubectl.established();
  }

  /** A kubeconfig with the rights of a service account and no others, by a client certificate. */
  async accountKubeconfig(namespace: string, name: string): Promise<string> {
    const user = `system:serviceaccount:${namespace}:${name}`;
    const client = await loadCertificate(join(this.folder, 'accounts'), this.certificates, {
      file: name,
      commonName: user,
      organizations: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      use: 'client',
    });
    const file = join(this.folder, `${name}.kubeconfig`);
    writeKubeconfig(file, { server: this.url, authority: this.certificates.authority, user, client });
    return file;
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) await stop();
  }
}
