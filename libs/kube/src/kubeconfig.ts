/**
 * How to reach Kubernetes, and as whom. Files, contexts, exec plugins and the account of a pod are client-node's `KubeConfig`; its config module
 * is imported alone, because the whole package takes half a second more to load.
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { type RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { loadYaml } from '@kubernetes/client-node/dist/yaml.js';
import { ConfigError, readEnv } from '@harikube/platform';

const ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

export interface Credentials {
  readonly tls: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'>;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Access {
  readonly server: URL;
  /** The HTTP proxy on the way; null: none. */
  readonly proxy: string | null;
  /** Of the context: where objects are meant to be that name no namespace. */
  readonly namespace: string;
  /** The credentials as they are by now: tokens are read again from their file, and plugins asked when theirs has expired. */
  credentials(): Promise<Credentials>;
}

export interface KubeconfigOptions {
  /** A file, or several as in KUBECONFIG. Absent: the account of the pod when there is one, else ~/.kube/config. */
  readonly kubeconfig?: string;
  /** Absent: the current one. */
  readonly context?: string;
}

/** Throws `ConfigError` with a sentence that says what is wrong with the kubeconfig. */
export function loadAccess({ kubeconfig, context }: KubeconfigOptions): Access {
  const config = new KubeConfig();
  const isPod = kubeconfig === undefined && existsSync(ACCOUNT_TOKEN) && readEnv()['KUBERNETES_SERVICE_HOST'] !== undefined;
  const files = isPod ? [] : filesOf(kubeconfig ?? join(homedir(), '.kube', 'config'));
  const source = isPod ? 'the account of the pod' : `the kubeconfig ${files.join(delimiter)}`;
  try {
    if (isPod) config.loadFromCluster();
    else load(config, files);
  } catch (error) {
    throw refusal(`${source} cannot be used: ${messageOf(error)}`);
  }
  const name = context ?? config.getCurrentContext();
  if (context === undefined && !name) throw refusal(`${source} has no current context`);
  config.setCurrentContext(name);
  const chosen = config.getContextObject(name);
  if (chosen === null) throw refusal(`${source} has no context ${name}`);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw refusal(`the context ${name} of ${source} names a cluster that is not there`);
  if (!URL.canParse(cluster.server)) throw refusal(`${source} has no usable address of a server: ${cluster.server}`);
  const { proxyUrl, ...direct } = cluster;
  if (proxyUrl !== undefined && !/^https?:/.test(proxyUrl)) {
    throw refusal(`the cluster ${cluster.name} of ${source} has the proxy-url ${proxyUrl}; only http and https proxies are supported`);
  }
  const user = config.getCurrentUser() ?? { name: 'nobody' };
  const own = new KubeConfig();
  const server = new URL(cluster.server);
  // Without this it refuses a server without TLS, which means nothing to the agents that it makes and nobody uses.
  own.loadFromClusterAndUser(
    { ...direct, skipTLSVerify: cluster.skipTLSVerify || server.protocol === 'http:' },
    withTokenFile(user, files),
  );
  let loading: Promise<Credentials> | null = null;
  return {
    server,
    proxy: proxyUrl ?? null,
    namespace: chosen.namespace?.trim() || 'default',
    // Together, so that a plugin is not started by each of many requests.
    credentials: () => (loading ??= credentialsOf(own).finally(() => (loading = null))),
  };
}

function filesOf(kubeconfig: string): string[] {
  const files = existsSync(kubeconfig) ? [kubeconfig] : kubeconfig.split(delimiter).filter((file) => file !== '');
  // As with kubectl, a file of several may be missing.
  return files.length > 1 ? files.filter((file) => existsSync(file)) : files;
}

function load(config: KubeConfig, files: readonly string[]): void {
  const [first, ...rest] = files;
  if (first === undefined) throw new Error('none of these files exists');
  config.loadFromFile(first);
  for (const file of rest) {
    const other = new KubeConfig();
    other.loadFromFile(file);
    config.mergeConfig(other, true);
  }
}

type User = Parameters<KubeConfig['loadFromClusterAndUser']>[1];

interface UserEntry {
  readonly name?: string;
  readonly user?: { readonly tokenFile?: string };
}

/** `tokenFile` is the one field of a user that `KubeConfig` does not read; it wins over `token`, as with kubectl. */
function withTokenFile(user: User, files: readonly string[]): User {
  for (const file of files) {
    const { users = [] } = loadYaml<{ readonly users?: readonly UserEntry[] }>(readFileSync(file, 'utf8'));
    const tokenFile = users.find(({ name }) => name === user.name)?.user?.tokenFile;
    if (tokenFile === undefined) continue;
    const config = { tokenFile: resolve(dirname(file), tokenFile) };
    return { ...user, token: undefined, authProvider: { name: 'tokenFile', config } };
  }
  return user;
}

async function credentialsOf(config: KubeConfig): Promise<Credentials> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const headers: Record<string, string> = {};
  if (typeof options.auth === 'string') headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  for (const [name, value] of Object.entries({ ...options.headers })) {
    // A file ends with a line break.
    if (value !== undefined) headers[name.toLowerCase()] = String(value).trim();
  }
  const { ca, cert, key, rejectUnauthorized, servername } = options;
  return { tls: { ca, cert, key, rejectUnauthorized, servername }, headers };
}

function refusal(sentence: string): ConfigError {
  return new ConfigError([sentence]);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
