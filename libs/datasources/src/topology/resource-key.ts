/**
 * Where kube-apiserver keeps a kind: `<etcd prefix>/<resource>/[<namespace>/]<name>`. The resource is one segment for built-in
 * kinds (their group is not part of it), `<group>/<plural>` for kinds served by custom resource definitions and for the two
 * groups whose servers do the same, and some old kinds have names of their own
 * (`SpecialDefaultResourcePrefixes`, kubernetes v1.36 pkg/kubeapiserver/default_storage_factory_builder.go).
 *
 * Keys are handled as byte strings: JavaScript strings with one char per byte (latin1), which compare as the bytes do.
 */

const STORAGE_NAMES: ReadonlyMap<string, string> = new Map([
  ['services', 'services/specs'],
  ['endpoints', 'services/endpoints'],
  ['nodes', 'minions'],
  ['ingresses', 'ingress'],
  ['replicationcontrollers', 'controllers'],
]);

/** Groups with a dot whose kinds kube-apiserver stores by their plural alone. */
const BUILT_IN_GROUPS: ReadonlySet<string> = new Set([
  'admissionregistration.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'certificates.k8s.io',
  'coordination.k8s.io',
  'discovery.k8s.io',
  'events.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'internal.apiserver.k8s.io',
  'networking.k8s.io',
  'node.k8s.io',
  'rbac.authorization.k8s.io',
  'resource.k8s.io',
  'scheduling.k8s.io',
  'storage.k8s.io',
  'storagemigration.k8s.io',
]);

const UNDOTTED_GROUPS: ReadonlySet<string> = new Set(['apps', 'autoscaling', 'batch', 'core', 'extensions', 'policy']);

/** Storage paths of what kube-apiserver v1.36 itself keeps outside namespaces. */
const CLUSTER_SCOPED: ReadonlySet<string> = new Set([
  'namespaces',
  'minions',
  'persistentvolumes',
  'clusterroles',
  'clusterrolebindings',
  'storageclasses',
  'priorityclasses',
  'ingressclasses',
  'runtimeclasses',
  'volumeattachments',
  'volumeattributesclasses',
  'csidrivers',
  'csinodes',
  'mutatingwebhookconfigurations',
  'validatingwebhookconfigurations',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'certificatesigningrequests',
  'clustertrustbundles',
  'flowschemas',
  'prioritylevelconfigurations',
  'ipaddresses',
  'servicecidrs',
  'deviceclasses',
  'resourceslices',
  'devicetaintrules',
  'storageversions',
  'storageversionmigrations',
  'masterleases',
  'peerserverleases',
  'ranges',
  'apiextensions.k8s.io/customresourcedefinitions',
  'apiregistration.k8s.io/apiservices',
]);

/** A version as Kubernetes names them: `v1`, `v1beta2`. */
export const VERSION_PATTERN = /^v[0-9]+(?:(?:alpha|beta)[0-9]+)?$/;

/** Kinds of this group are stored without the group; a group without a dot is always one of kube-apiserver's own. */
export function isBuiltInGroup(group: string): boolean {
  return !group.includes('.') || BUILT_IN_GROUPS.has(group);
}

/** The first segment of a path that somebody took for a built-in kind's group. */
export function isBuiltInGroupSegment(segment: string): boolean {
  return UNDOTTED_GROUPS.has(segment) || BUILT_IN_GROUPS.has(segment);
}

/** Whether the kind at a storage path is one of kube-apiserver's own that never lives in a namespace. */
export function isClusterScoped(path: string): boolean {
  return CLUSTER_SCOPED.has(path);
}

/** The path under the etcd prefix of a kind named as a user names it: `services` becomes `services/specs`. */
function storagePath(plural: string): string {
  return STORAGE_NAMES.get(plural) ?? plural;
}

/** As `storagePath`, for a path that may go deeper: only its first segment is a kind, and a storage name stays as it is. */
export function storagePathOf(path: string): string {
  if (/^services\/(?:specs|endpoints)(?:\/|$)/.test(path)) {
    return path;
  }
  const slash = path.indexOf('/');
  return slash < 0 ? storagePath(path) : storagePath(path.slice(0, slash)) + path.slice(slash);
}

/**
 * The path of a kind in the form `plural[.version][.group]`, as kubectl takes it: `pods`, `deployments.apps`,
 * `users.product.webshop.harikube.info`, `users.v1.product.webshop.harikube.info`.
 */
export function resourcePath(resource: string): string {
  const dot = resource.indexOf('.');
  if (dot < 0) {
    return storagePath(resource);
  }
  const plural = resource.slice(0, dot);
  let group = resource.slice(dot + 1);
  const version = group.split('.', 1)[0] ?? '';
  if (VERSION_PATTERN.test(version)) {
    group = group.slice(version.length + 1);
  }
  return isBuiltInGroup(group) ? storagePath(plural) : `${group}/${plural}`;
}

/** `/registry` for `registry`, `/registry` and `/registry/`; empty for `/`. */
export function normalizeEtcdPrefix(prefix: string): string {
  const trimmed = prefix.replace(/^\/+|\/+$/g, '');
  return trimmed === '' ? '' : `/${trimmed}`;
}

const SLASH = 0x2f;
const DOT = 0x2e;
const SERVICES = Buffer.from('services');

/**
 * Splits keys of one etcd prefix. `end` finds where the resource of a key ends, without allocating: this is the first thing
 * that happens to every key of every request.
 */
export class ResourceKeys {
  /** Bytes before the resource: the etcd prefix and a slash. */
  readonly baseLength: number;
  readonly #base: Buffer;

  constructor(etcdPrefix: string) {
    this.#base = Buffer.from(`${etcdPrefix}/`);
    this.baseLength = this.#base.length;
  }

  /** Index after the key's resource; -1: the key is not under the etcd prefix. */
  end(key: Buffer): number {
    const base = this.#base;
    if (key.length <= base.length || key.compare(base, 0, base.length, 0, base.length) !== 0) {
      return -1;
    }
    const first = segmentEnd(key, base.length);
    if (first + 1 >= key.length || key[first + 1] === SLASH || !this.#hasTwoSegments(key, first)) {
      return first;
    }
    return segmentEnd(key, first + 1);
  }

  /**
   * A kind's whole resource: false for a group alone or `services` alone, whose keys have a further segment that tells the
   * kind.
   */
  isWhole(resource: string): boolean {
    const bytes = Buffer.from(resource, 'latin1');
    const first = segmentEnd(bytes, 0);
    return first < bytes.length || !isTwoSegments(bytes, 0, first);
  }

  #hasTwoSegments(key: Buffer, end: number): boolean {
    return isTwoSegments(key, this.baseLength, end);
  }
}

function segmentEnd(key: Buffer, from: number): number {
  const slash = key.indexOf(SLASH, from);
  return slash < 0 ? key.length : slash;
}

/** A group, known by its dot, or `services`. */
function isTwoSegments(key: Buffer, start: number, end: number): boolean {
  for (let index = start; index < end; index++) {
    if (key[index] === DOT) {
      return true;
    }
  }
  return end - start === SERVICES.length && key.compare(SERVICES, 0, SERVICES.length, start, end) === 0;
}
