/** The parts of a Pod that the stand-in knows; whatever else a spec says is named by `unknownFields`. */
import type { KubeObject, Resource } from '@harikube/kube';

export interface KeyReference {
  readonly name?: string;
  readonly key: string;
  readonly optional?: boolean;
}

export interface EnvironmentVariable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly secretKeyRef?: KeyReference;
    readonly configMapKeyRef?: KeyReference;
    readonly fieldRef?: { readonly fieldPath: string };
    readonly resourceFieldRef?: { readonly resource: string; readonly divisor?: string };
  };
}

export interface NamedSource {
  readonly name?: string;
  readonly optional?: boolean;
}

export interface KeyToPath {
  readonly key: string;
  readonly path: string;
  readonly mode?: number;
}

export interface ObjectSource extends NamedSource {
  readonly items?: readonly KeyToPath[];
}

export interface Handler {
  readonly exec?: { readonly command: readonly string[] };
  readonly httpGet?: {
    readonly path?: string;
    readonly port: number | string;
    readonly host?: string;
    readonly scheme?: 'HTTP' | 'HTTPS';
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
  };
  readonly tcpSocket?: { readonly port: number | string; readonly host?: string };
  readonly grpc?: { readonly port: number; readonly service?: string };
  readonly sleep?: { readonly seconds: number };
}

export interface Probe extends Handler {
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly successThreshold?: number;
  readonly failureThreshold?: number;
  readonly terminationGracePeriodSeconds?: number;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
  readonly env?: readonly EnvironmentVariable[];
  readonly envFrom?: readonly { readonly prefix?: string; readonly secretRef?: NamedSource; readonly configMapRef?: NamedSource }[];
  readonly volumeMounts?: readonly VolumeMount[];
  readonly resources?: { readonly limits?: Readonly<Record<string, string>>; readonly requests?: Readonly<Record<string, string>> };
  readonly securityContext?: {
    readonly runAsUser?: number;
    readonly runAsGroup?: number;
    readonly runAsNonRoot?: boolean;
    readonly readOnlyRootFilesystem?: boolean;
    readonly allowPrivilegeEscalation?: boolean;
    readonly capabilities?: { readonly drop?: readonly string[] };
  };
  readonly startupProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly lifecycle?: { readonly preStop?: Handler };
}

export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly subPath?: string;
  readonly readOnly?: boolean;
}

export interface Volume {
  readonly name: string;
  readonly emptyDir?: object;
  readonly secret?: Omit<ObjectSource, 'name'> & { readonly secretName: string; readonly defaultMode?: number };
  readonly configMap?: ObjectSource & { readonly defaultMode?: number };
  readonly persistentVolumeClaim?: { readonly claimName: string; readonly readOnly?: boolean };
  readonly projected?: { readonly defaultMode?: number; readonly sources: readonly ProjectedSource[] };
}

export interface ProjectedSource {
  readonly secret?: ObjectSource;
  readonly configMap?: ObjectSource;
  readonly downwardAPI?: { readonly items: readonly { readonly path: string; readonly fieldRef?: { readonly fieldPath: string } }[] };
  readonly serviceAccountToken?: { readonly path: string; readonly audience?: string; readonly expirationSeconds?: number };
}

export interface PodSpec {
  readonly nodeName?: string;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly restartPolicy?: 'Always' | 'OnFailure' | 'Never';
  readonly terminationGracePeriodSeconds?: number;
  readonly serviceAccountName?: string;
  readonly enableServiceLinks?: boolean;
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly securityContext?: {
    readonly runAsUser?: number;
    readonly runAsGroup?: number;
    readonly runAsNonRoot?: boolean;
    readonly fsGroup?: number;
    readonly supplementalGroups?: readonly number[];
  };
  readonly volumes?: readonly Volume[];
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
}

export interface ContainerState {
  waiting?: { reason: string; message?: string };
  running?: { startedAt: string };
  terminated?: { exitCode: number; signal?: number; reason: string; startedAt: string; finishedAt: string; containerID: string };
}

export interface ContainerStatus {
  name: string;
  image: string;
  imageID: string;
  containerID?: string;
  ready: boolean;
  started: boolean;
  restartCount: number;
  state: ContainerState;
  lastState: ContainerState;
}

export interface PodCondition {
  type: string;
  status: 'True' | 'False';
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}

export interface Pod extends KubeObject {
  spec: PodSpec;
  status?: { phase?: string; reason?: string; message?: string; podIP?: string; conditions?: PodCondition[] };
}

export const PODS: Resource<Pod> = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };

/** What may be said of a field: anything, one of some values, an object of known fields, or a list of those. */
type Known = true | readonly unknown[] | { readonly [field: string]: Known } | { readonly eachHas: { readonly [field: string]: Known } };

const each = (eachHas: { readonly [field: string]: Known }): Known => ({ eachHas });

const HTTP_GET = { path: true, port: true, host: true, scheme: true, httpHeaders: true } as const;
const HANDLER = { exec: true, httpGet: HTTP_GET, tcpSocket: true } as const;
const PROBE = {
  ...HANDLER,
  grpc: true,
  initialDelaySeconds: true,
  periodSeconds: true,
  timeoutSeconds: true,
  successThreshold: true,
  failureThreshold: true,
  terminationGracePeriodSeconds: true,
} as const;
const SECCOMP = { type: ['RuntimeDefault'] } as const;
const OBJECT_SOURCE = { name: true, optional: true, items: true } as const;

const CONTAINER = {
  name: true,
  image: true,
  imagePullPolicy: true,
  command: true,
  args: true,
  workingDir: true,
  ports: each({ name: true, containerPort: true, protocol: ['TCP'] }),
  env: each({
    name: true,
    value: true,
    valueFrom: { secretKeyRef: true, configMapKeyRef: true, fieldRef: true, resourceFieldRef: true },
  }),
  envFrom: each({ prefix: true, secretRef: true, configMapRef: true }),
  volumeMounts: each({ name: true, mountPath: true, subPath: true, readOnly: true }),
  resources: { limits: true, requests: true },
  securityContext: {
    runAsUser: true,
    runAsGroup: true,
    runAsNonRoot: true,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: true,
    privileged: [false],
    capabilities: { drop: true },
    seccompProfile: SECCOMP,
  },
  startupProbe: PROBE,
  readinessProbe: PROBE,
  livenessProbe: PROBE,
  lifecycle: { preStop: { ...HANDLER, sleep: true } },
  terminationMessagePath: true,
  terminationMessagePolicy: true,
} as const;

const POD_SPEC = {
  nodeName: true,
  nodeSelector: true,
  restartPolicy: true,
  terminationGracePeriodSeconds: true,
  serviceAccountName: true,
  serviceAccount: true,
  automountServiceAccountToken: true,
  enableServiceLinks: true,
  hostname: true,
  subdomain: true,
  dnsPolicy: ['ClusterFirst'],
  schedulerName: ['default-scheduler'],
  // There is one node: what only chooses among nodes has nothing to choose.
  affinity: true,
  topologySpreadConstraints: true,
  tolerations: true,
  priority: true,
  priorityClassName: true,
  preemptionPolicy: true,
  // No image is pulled.
  imagePullSecrets: true,
  securityContext: {
    runAsUser: true,
    runAsGroup: true,
    runAsNonRoot: true,
    fsGroup: true,
    fsGroupChangePolicy: true,
    supplementalGroups: true,
    seccompProfile: SECCOMP,
  },
  volumes: each({
    name: true,
    emptyDir: { medium: true, sizeLimit: true },
    secret: { secretName: true, optional: true, items: true, defaultMode: true },
    configMap: { ...OBJECT_SOURCE, defaultMode: true },
    persistentVolumeClaim: { claimName: true, readOnly: true },
    projected: {
      defaultMode: true,
      sources: each({
        secret: OBJECT_SOURCE,
        configMap: OBJECT_SOURCE,
        downwardAPI: { items: each({ path: true, fieldRef: true, mode: true }) },
        serviceAccountToken: { path: true, audience: true, expirationSeconds: true },
      }),
    },
  }),
  initContainers: each(CONTAINER),
  containers: each(CONTAINER),
} as const;

/** The paths of everything in a spec that the stand-in would pass over in silence, with the values that it does not know. */
export function unknownFields(spec: PodSpec): string[] {
  return unknownIn(spec, POD_SPEC, 'spec');
}

function unknownIn(value: unknown, known: Known, path: string): string[] {
  if (known === true) return [];
  if (Array.isArray(known)) return known.includes(value) ? [] : [`${path}=${JSON.stringify(value)}`];
  const fields = known as { readonly [field: string]: Known };
  if (Array.isArray(value)) return value.flatMap((item, index) => unknownIn(item, fields['eachHas'] ?? true, `${path}[${index}]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([field, inner]) => {
    const inside = fields[field];
    return inside === undefined ? [`${path}.${field}`] : unknownIn(inner, inside, `${path}.${field}`);
  });
}
