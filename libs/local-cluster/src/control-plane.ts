/** An unmodified kube-apiserver and kube-controller-manager on any etcd endpoint, on this machine's loopback only. */
import { get } from 'node:https';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Env } from '@harikube/platform';
import { type Certificates, FRONT_PROXY_NAME, loadCertificates } from './certificates.js';
import { writeKubeconfig } from './kubeconfig.js';
import { ManagedProcess, type ProcessEvent } from './managed-process.js';
import { checkPort, freePort } from './ports.js';
import { silent, type Progress } from './progress.js';
import { SetupError } from './setup-error.js';
import { Supervisor } from './supervisor.js';

export interface ControlPlaneOptions {
  /** Holds `pki`, `logs`, `run` and the kubeconfigs. */
  readonly dataDir: string;
  readonly programs: { readonly 'kube-apiserver': string; readonly 'kube-controller-manager': string };
  /** The port of 127.0.0.1 that serves the Kubernetes API; 0: any free one. */
  readonly port: number;
  /** Where everything is stored: `http://host:port`, `https://host:port`, `unix:///path`. */
  readonly etcdServers: readonly string[];
  readonly etcdTls?: { readonly caFile: string; readonly certFile?: string; readonly keyFile?: string };
  readonly env: Env;
  /** An IPv4 network such as 10.0.0.0/24: the addresses of Services. The API server's certificate names the first one. */
  readonly serviceRange?: string;
  readonly extraApiServerArgs?: readonly string[];
  readonly extraControllerManagerArgs?: readonly string[];
  /** False: only kube-apiserver runs. */
  readonly controllerManager?: boolean;
  readonly progress?: Progress;
  readonly onEvent?: (event: ProcessEvent) => void;
}

export class ControlPlane {
  readonly kubeconfigFile: string;
  readonly #options: ControlPlaneOptions;
  readonly #supervisor = new Supervisor();
  #port = 0;
  #controllerManagerPort: number | null = null;
  #certificates: Certificates | null = null;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    this.kubeconfigFile = join(options.dataDir, 'kubeconfig');
  }

  /** Where the Kubernetes API answers, once `start` has resolved. */
  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  /** Where kube-controller-manager serves /healthz with a certificate of its own making; null: it does not run. */
  get controllerManagerUrl(): string | null {
    return this.#controllerManagerPort === null ? null : `https://127.0.0.1:${this.#controllerManagerPort}`;
  }

  get #serviceRange(): string {
    return this.#options.serviceRange ?? '10.0.0.0/24';
  }

  /** Resolves when /readyz says ok and the controllers run; on a failure everything is stopped again. */
  async start(signal?: AbortSignal): Promise<void> {
    const { dataDir, port, progress = silent } = this.#options;
    if (port === 0) this.#port = await freePort();
    else await checkPort((this.#port = port), '--port');
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const certificates = await loadCertificates(join(dataDir, 'pki'), new Date(), [firstAddress(this.#serviceRange)]);
    this.#certificates = certificates;
    const { authority } = certificates;
    writeKubeconfig(this.kubeconfigFile, { server: this.url, authority, user: 'admin', client: certificates.admin });
    try {
      progress.update('kube-apiserver: starting');
      await this.#supervisor.start(this.#apiServer(certificates), signal);
      if (this.#options.controllerManager ?? true) {
        progress.update('kube-controller-manager: starting');
        const kubeconfig = join(dataDir, 'controller-manager.kubeconfig');
        writeKubeconfig(kubeconfig, {
          server: this.url,
          authority,
          user: 'kube-controller-manager',
          client: certificates.controllerManager,
        });
        await this.#supervisor.start(await this.#controllerManager(certificates, kubeconfig), signal);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#supervisor.stop();
  }

  /** Whether kube-apiserver says that it is ready, asked as the administrator. */
  async isReady(signal?: AbortSignal): Promise<boolean> {
    if (this.#certificates === null) return false;
    const { authority, admin } = this.#certificates;
    return (await probe(`${this.url}/readyz`, { ca: authority.certificate, cert: admin.certificate, key: admin.key }, signal)) === 200;
  }

  #apiServer(certificates: Certificates): ManagedProcess {
    const { dataDir, etcdServers, etcdTls, extraApiServerArgs = [], programs } = this.#options;
    return this.#process('kube-apiserver', programs['kube-apiserver'], (signal) => this.isReady(signal), [
      `--etcd-servers=${etcdServers.join(',')}`,
      ...(etcdTls === undefined ? [] : [`--etcd-cafile=${etcdTls.caFile}`]),
      ...(etcdTls?.certFile === undefined ? [] : [`--etcd-certfile=${etcdTls.certFile}`]),
      ...(etcdTls?.keyFile === undefined ? [] : [`--etcd-keyfile=${etcdTls.keyFile}`]),
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${this.#port}`,
      // Else it waits for those who watch to go: a router that follows a Secret ends after it.
      '--shutdown-watch-termination-grace-period=2s',
      // Endpoints of the service "kubernetes" may not be loopback addresses, and there is no other.
      '--endpoint-reconciler-type=none',
      `--cert-dir=${join(dataDir, 'pki')}`,
      `--tls-cert-file=${certificates.apiServer.certificateFile}`,
      `--tls-private-key-file=${certificates.apiServer.keyFile}`,
      `--client-ca-file=${certificates.authority.certificateFile}`,
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${certificates.serviceAccountPublicKeyFile}`,
      `--service-account-signing-key-file=${certificates.serviceAccountKeyFile}`,
      `--service-cluster-ip-range=${this.#serviceRange}`,
      `--requestheader-client-ca-file=${certificates.frontProxyAuthority.certificateFile}`,
      `--requestheader-allowed-names=${FRONT_PROXY_NAME}`,
      '--requestheader-username-headers=X-Remote-User',
      '--requestheader-group-headers=X-Remote-Group',
      '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      `--proxy-client-cert-file=${certificates.frontProxyClient.certificateFile}`,
      `--proxy-client-key-file=${certificates.frontProxyClient.keyFile}`,
      ...extraApiServerArgs,
    ]);
  }

  async #controllerManager(certificates: Certificates, kubeconfig: string): Promise<ManagedProcess> {
    const { extraControllerManagerArgs = [], programs } = this.#options;
    const port = (this.#controllerManagerPort = await freePort());
    const { authority } = certificates;
    const isReady = async (signal: AbortSignal): Promise<boolean> =>
      // Its serving certificate is made by itself, in memory; nothing secret is sent to it.
      (await probe(`https://127.0.0.1:${port}/healthz`, { rejectUnauthorized: false }, signal)) === 200;
    return this.#process('kube-controller-manager', programs['kube-controller-manager'], isReady, [
      `--kubeconfig=${kubeconfig}`,
      `--authentication-kubeconfig=${kubeconfig}`,
      `--authorization-kubeconfig=${kubeconfig}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      '--leader-elect=false',
      '--use-service-account-credentials=true',
      `--root-ca-file=${authority.certificateFile}`,
      `--service-account-private-key-file=${certificates.serviceAccountKeyFile}`,
      `--cluster-signing-cert-file=${authority.certificateFile}`,
      `--cluster-signing-key-file=${authority.keyFile}`,
      ...extraControllerManagerArgs,
    ]);
  }

  #process(name: string, command: string, isReady: (signal: AbortSignal) => Promise<boolean>, args: readonly string[]): ManagedProcess {
    const { dataDir, env, onEvent } = this.#options;
    return new ManagedProcess({
      name,
      command,
      args,
      env,
      cwd: dataDir,
      logFolder: join(dataDir, 'logs'),
      runFolder: join(dataDir, 'run'),
      isReady,
      readyTimeoutMilliseconds: 120_000,
      onEvent,
    });
  }
}

/** Where the API server answers inside a cluster: the first address of the range of services. */
function firstAddress(range: string): string {
  const match = /^(\d+\.\d+\.\d+)\.(\d+)\/\d+$/.exec(range);
  if (match === null) throw new SetupError(`${range} is no range of services: write an IPv4 network such as 10.0.0.0/24`);
  return `${match[1]}.${Number(match[2]) + 1}`;
}

/** The status of a GET request; `null`: no answer within two seconds. */
export function probe(
  url: string,
  tls: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly rejectUnauthorized?: boolean },
  signal?: AbortSignal,
): Promise<number | null> {
  return new Promise((resolve) => {
    const request = get(url, { ...tls, agent: false, timeout: 2000, signal }, (response) => {
      response.resume();
      resolve(response.statusCode ?? null);
    });
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', () => resolve(null));
  });
}
