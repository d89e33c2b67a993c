/** What NetworkPolicies let through, told from the objects alone: no network plugin runs in the tests. */
import { BlockList } from 'node:net';

type Labels = Readonly<Record<string, string>>;

interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] }[];
}

interface Peer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

interface Port {
  readonly port?: number | string;
  readonly endPort?: number;
  readonly protocol?: string;
}

export interface NetworkPolicy {
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: {
    readonly podSelector: LabelSelector;
    readonly policyTypes: readonly string[];
    readonly ingress?: readonly { readonly from?: readonly Peer[]; readonly ports?: readonly Port[] }[];
    readonly egress?: readonly { readonly to?: readonly Peer[]; readonly ports?: readonly Port[] }[];
  };
}

/** One end of a connection: a Pod, or whoever has an address outside of the cluster's Pods. */
export interface Party {
  readonly address: string;
  readonly pod?: {
    readonly namespace: string;
    readonly namespaceLabels: Labels;
    readonly labels: Labels;
    /** Of its containers, by their names. */
    readonly ports: Readonly<Record<string, number>>;
  };
}

/** What is read of a Pod. */
export interface RunningPod {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly labels: Labels };
  readonly spec: {
    readonly containers: readonly { readonly ports?: readonly { readonly name: string; readonly containerPort: number }[] }[];
  };
  readonly status: { readonly podIP: string };
}

export function partyOf({ metadata: { namespace, labels }, spec, status }: RunningPod, namespaceLabels: Labels = {}): Party {
  const ports = spec.containers.flatMap((container) => container.ports ?? []);
  const byName = Object.fromEntries(ports.map(({ name, containerPort }) => [name, containerPort]));
  return { address: status.podIP, pod: { namespace, namespaceLabels, labels, ports: byName } };
}

/** A connection, and what it is for. */
export type Flow = readonly [what: string, from: Party, to: Party, port: number];

/** What the policies are wrong about: flows that are needed and not allowed, and flows that nobody needs and that are. */
export function wrongFlows(policies: readonly NetworkPolicy[], needed: readonly Flow[], needless: readonly Flow[]): string[] {
  const isAllowed = ([, from, to, port]: Flow): boolean => allows(policies, from, to, port);
  return [
    ...needed.filter((flow) => !isAllowed(flow)).map(([what]) => `not allowed: ${what}`),
    ...needless.filter(isAllowed).map(([what]) => `allowed: ${what}`),
  ];
}

/** The policies that a Pod is under. */
export function policiesOf(policies: readonly NetworkPolicy[], { pod }: Party): NetworkPolicy[] {
  return policies.filter(
    ({ metadata, spec }) => pod !== undefined && metadata.namespace === pod.namespace && selects(spec.podSelector, pod.labels),
  );
}

/** Whether a TCP connection is let out where it begins and in where it ends. */
export function allows(policies: readonly NetworkPolicy[], from: Party, to: Party, port: number): boolean {
  const ingress = policiesOf(policies, to).filter(({ spec }) => spec.policyTypes.includes('Ingress'));
  const egress = policiesOf(policies, from).filter(({ spec }) => spec.policyTypes.includes('Egress'));
  const isLetIn = ingress.some(({ metadata, spec }) =>
    (spec.ingress ?? []).some((rule) => isPeer(rule.from, from, metadata.namespace) && isPort(rule.ports, to, port)),
  );
  const isLetOut = egress.some(({ metadata, spec }) =>
    (spec.egress ?? []).some((rule) => isPeer(rule.to, to, metadata.namespace) && isPort(rule.ports, to, port)),
  );
  return (ingress.length === 0 || isLetIn) && (egress.length === 0 || isLetOut);
}

/** No list, or an empty one, is everybody. */
function isPeer(peers: readonly Peer[] | undefined, { address, pod }: Party, namespace: string | undefined): boolean {
  if (peers === undefined || peers.length === 0) return true;
  return peers.some(({ podSelector, namespaceSelector, ipBlock }) => {
    if (ipBlock !== undefined) return isWithin(address, ipBlock.cidr) && !(ipBlock.except ?? []).some((cidr) => isWithin(address, cidr));
    if (pod === undefined) return false;
    const isOfNamespace = namespaceSelector === undefined ? pod.namespace === namespace : selects(namespaceSelector, pod.namespaceLabels);
    return isOfNamespace && (podSelector === undefined || selects(podSelector, pod.labels));
  });
}

/** A name is that of a port of the Pod where the connection ends. */
function isPort(ports: readonly Port[] | undefined, { pod }: Party, port: number): boolean {
  if (ports === undefined || ports.length === 0) return true;
  return ports.some(({ port: wanted, endPort, protocol = 'TCP' }) => {
    if (endPort !== undefined) throw new Error(`endPort=${endPort} of a NetworkPolicy is not known here`);
    if (protocol !== 'TCP') return false;
    return wanted === undefined || (typeof wanted === 'number' ? wanted : pod?.ports[wanted]) === port;
  });
}

function selects({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          throw new Error(`the operator ${operator} of a selector is not known`);
      }
    })
  );
}

function isWithin(address: string, cidr: string): boolean {
  const [network = '', bits = ''] = cidr.split('/');
  const list = new BlockList();
  list.addSubnet(network, Number(bits), 'ipv4');
  return list.check(address, 'ipv4');
}
