import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type Informer, type KubeObject, type Resource } from '@harikube/kube';
import type { PodNetwork } from './pod-network.js';

export interface Service extends KubeObject {
  spec: {
    type?: string;
    clusterIP?: string;
    ports?: { name?: string; port: number; protocol?: string }[];
  };
}

export interface EndpointSlice extends KubeObject {
  endpoints: { addresses: string[]; hostname?: string; conditions?: { ready?: boolean } }[] | null;
  ports?: { name?: string; port?: number }[];
}

export const SERVICES: Resource<Service> = { group: '', version: 'v1', kind: 'Service', plural: 'services', namespaced: true };
export const ENDPOINT_SLICES: Resource<EndpointSlice> = {
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  namespaced: true,
};

export interface ServiceProxyOptions {
  readonly network: PodNetwork;
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
  /** Where Service `kubernetes` leads: nobody writes its slices here. */
  readonly apiServer: { readonly host: string; readonly port: number };
  readonly onProblem: (problem: string) => void;
}

/** What kube-proxy and the cluster's DNS do: the address of a Service leads to its ready Pods, and its names are in `/etc/hosts`. */
export class ServiceProxy {
  readonly #options: ServiceProxyOptions;
  readonly #servers = new Map<string, Server[]>();
  readonly #sockets = new Set<Socket>();
  readonly #hostsFiles = new Map<string, string>();
  #turn = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(options: ServiceProxyOptions) {
    this.#options = options;
  }

  start(): void {
    const { services, slices } = this.#options;
    services.addHandler({
      onAdd: (service) => this.#change(() => this.#serve(service)),
      onUpdate: (before, after) => {
        if (portsOf(before) === portsOf(after)) return;
        this.#change(async () => {
          await this.#end(before);
          await this.#serve(after);
        });
      },
      onDelete: (service) => this.#change(() => this.#end(service)),
    });
    const onChange = (): void => this.#change(() => Promise.resolve());
    slices.addHandler({ onAdd: onChange, onUpdate: onChange, onDelete: onChange });
  }

  /** The names of Services as the Pods of a namespace know them, kept up to date in a file until `forget`. */
  async keepHosts(file: string, namespace: string): Promise<void> {
    this.#hostsFiles.set(file, namespace);
    await writeFile(file, this.#hostsFor(namespace), { mode: 0o644 });
  }

  forget(file: string): void {
    this.#hostsFiles.delete(file);
  }

  /** The variables by which the Pods of a namespace are told of Services, and of kube-apiserver always. */
  variables(namespace: string, hasLinks: boolean): Record<string, string> {
    const told = this.#options.services
      .list()
      .filter(({ metadata }) => metadata.name === 'kubernetes' && metadata.namespace === 'default')
      .concat(hasLinks ? this.#options.services.list(namespace) : []);
    return Object.assign({}, ...told.map(serviceVariables)) as Record<string, string>;
  }

  async stop(): Promise<void> {
    await this.#last;
    for (const server of [...this.#servers.values()].flat()) server.close();
    this.#servers.clear();
    // A Pod that is killed with its network says goodbye to nobody.
    for (const socket of this.#sockets) socket.destroy();
  }

  #change(work: () => Promise<void>): void {
    const all = async (): Promise<void> => {
      await work();
      await Promise.all([...this.#hostsFiles].map(([file, namespace]) => writeFile(file, this.#hostsFor(namespace))));
    };
    this.#last = this.#last.then(all).catch((error: unknown) => this.#options.onProblem(`a Service is not served: ${String(error)}`));
  }

  async #serve(service: Service): Promise<void> {
    const { name = '', namespace = '', uid = '' } = service.metadata;
    const address = addressOf(service);
    if (service.spec.type === 'ExternalName') this.#options.onProblem(`Service ${namespace}/${name}: spec.type=ExternalName is not known`);
    if (address === null) return;
    await this.#options.network.addService(address);
    const servers: Server[] = [];
    this.#servers.set(uid, servers);
    for (const { name: portName = '', port, protocol = 'TCP' } of service.spec.ports ?? []) {
      if (protocol !== 'TCP') {
        this.#options.onProblem(`Service ${namespace}/${name}: the protocol ${protocol} is not known`);
        continue;
      }
      const server = createServer({ allowHalfOpen: true }, (client) => {
        const target = this.#target(name, namespace, portName);
        if (target === null) {
          client.destroy();
          return;
        }
        const upstream = connect({ ...target, allowHalfOpen: true });
        for (const socket of [client, upstream]) {
          this.#sockets.add(socket);
          socket.once('close', () => this.#sockets.delete(socket));
        }
        client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
        upstream.on('error', () => client.destroy()).on('close', () => client.destroy());
        client.pipe(upstream).pipe(client);
      });
      server.listen(port, address);
      await once(server, 'listening');
      server.unref();
      servers.push(server);
    }
  }

  async #end(service: Service): Promise<void> {
    const { uid = '' } = service.metadata;
    const address = addressOf(service);
    if (address === null) return;
    for (const server of this.#servers.get(uid) ?? []) server.close();
    this.#servers.delete(uid);
    await this.#options.network.removeService(address);
  }

  #target(name: string, namespace: string, portName: string): { readonly host: string; readonly port: number } | null {
    if (name === 'kubernetes' && namespace === 'default') return this.#options.apiServer;
    const targets = this.#slicesOf(name, namespace).flatMap(({ endpoints, ports = [] }) => {
      const port = ports.find((each) => (each.name ?? '') === portName)?.port;
      const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready === true);
      return port === undefined ? [] : ready.flatMap(({ addresses }) => addresses.map((host) => ({ host, port })));
    });
    return targets[this.#turn++ % Math.max(1, targets.length)] ?? null;
  }

  #slicesOf(name: string, namespace: string): EndpointSlice[] {
    return this.#options.slices.list(namespace).filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name);
  }

  #hostsFor(namespace: string): string {
    const lines = this.#options.services.list().flatMap((service) => {
      const { name = '', namespace: home = '' } = service.metadata;
      const names = [...(home === namespace ? [name] : []), ...['', '.svc', '.svc.cluster.local'].map((end) => `${name}.${home}${end}`)];
      const address = addressOf(service);
      if (address !== null) return [`${address} ${names.join(' ')}`];
      const endpoints = this.#slicesOf(name, home).flatMap((slice) => slice.endpoints ?? []);
      return endpoints
        .filter(({ conditions }) => conditions?.ready === true)
        .flatMap(({ addresses, hostname }) => {
          const own = hostname === undefined ? [] : names.map((end) => `${hostname}.${end}`);
          return addresses.map((each) => `${each} ${[...own, ...names].join(' ')}`);
        });
    });
    return `127.0.0.1 localhost\n::1 localhost\n${lines.join('\n')}\n`;
  }
}

/** Null: it has none, so that its names lead to Pods themselves. */
function addressOf({ spec }: Service): string | null {
  return spec.clusterIP === undefined || spec.clusterIP === '' || spec.clusterIP === 'None' ? null : spec.clusterIP;
}

function portsOf({ spec }: Service): string {
  return JSON.stringify([spec.clusterIP, spec.ports]);
}

function serviceVariables(service: Service): Record<string, string> {
  const address = addressOf(service);
  const [first] = service.spec.ports ?? [];
  if (address === null || first === undefined) return {};
  const prefix = String(service.metadata.name).toUpperCase().replaceAll('-', '_');
  return {
    [`${prefix}_SERVICE_HOST`]: address,
    [`${prefix}_SERVICE_PORT`]: String(first.port),
    [`${prefix}_PORT`]: `tcp://${address}:${first.port}`,
  };
}
