import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ControlPlane, loadCertificates, parseIdentity } from '@harikube/local-cluster';
import type { LoadContext } from './bench-context.js';
import type { RunningStore } from './stores.js';

export interface KubernetesContext extends LoadContext {
  readonly kubernetes: { readonly 'kube-apiserver': string; readonly 'kube-controller-manager': string };
  readonly env: NodeJS.ProcessEnv;
}

/** A kube-apiserver with its default flags on a store, and nothing else. */
export class BenchControlPlane {
  private constructor(
    private readonly controlPlane: ControlPlane,
    readonly apiServerPid: number,
    /** Flags of the load client: where it is, and the administrator's certificate. */
    readonly access: { readonly endpoint: string; readonly ca: string; readonly cert: string; readonly key: string },
  ) {}

  /** `folder`: of the store; what it leaves there serves another start. */
  static async start(store: RunningStore, folder: string, context: KubernetesContext): Promise<BenchControlPlane> {
    const dataDir = join(folder, 'control-plane');
    const controlPlane = new ControlPlane({
      dataDir,
      programs: context.kubernetes,
      port: 0,
      etcdServers: [`http://${store.endpoint}`],
      env: context.env,
      controllerManager: false,
    });
    await controlPlane.start();
    try {
      const identity = parseIdentity(await readFile(join(dataDir, 'run', 'kube-apiserver.json'), 'utf8'));
      if (identity === null) throw new Error('kube-apiserver left no record of its process');
      const { authority, admin } = await loadCertificates(join(dataDir, 'pki'));
      const access = { endpoint: controlPlane.url, ca: authority.certificateFile, cert: admin.certificateFile, key: admin.keyFile };
      return new BenchControlPlane(controlPlane, identity.pid, access);
    } catch (error) {
      await controlPlane.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.controlPlane.stop();
  }
}
