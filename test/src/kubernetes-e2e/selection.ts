/** Which of Kubernetes' e2e specs a control plane without kubelets can run: a rule over their labels, and lists of those that need more. */

/** A spec as ginkgo's report names it. */
export interface Spec {
  /** The texts of its containers and its own, with spaces between them. */
  readonly text: string;
  readonly labels: readonly string[];
}

export interface LeftOut {
  readonly text: string;
  readonly reason: string;
}

export interface Selection {
  readonly run: readonly string[];
  /** Of sig-api-machinery only: most specs of the others run containers. */
  readonly leftOut: readonly LeftOut[];
}

const SIG = 'sig-api-machinery';

const LABELS: ReadonlyMap<string, string> = new Map([
  ['Disruptive', 'restarts or cuts off parts of the cluster over SSH'],
  ['Flaky', 'is called flaky by Kubernetes itself'],
  ['Feature:OffByDefault', 'its feature gate is off by default'],
  ['Feature:APIServerIdentity', 'restarts kube-apiserver over SSH'],
  ['Feature:StorageVersionAPI', 'its feature gate is off by default'],
]);

/** Specs of sig-api-machinery that need what is not there; each pattern fits at least one. */
const NEEDS: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  { pattern: /^\[sig-api-machinery\] AdmissionWebhook /, reason: 'its webhook runs in a pod' },
  { pattern: /^\[sig-api-machinery\] CustomResourceConversionWebhook /, reason: 'its webhook runs in a pod' },
  { pattern: /^\[sig-api-machinery\] CustomResourceFieldSelectors /, reason: 'its conversion webhook runs in a pod' },
  { pattern: /^\[sig-api-machinery\] Aggregator /, reason: 'its API server runs in a pod' },
  { pattern: /^\[sig-api-machinery\] Generated clientset should create pods/, reason: 'its pod has to be scheduled and run' },
  { pattern: /^\[sig-api-machinery\] OrderedNamespaceDeletion /, reason: 'its pod has to run' },
  { pattern: /^\[sig-api-machinery\] Namespaces .*should ensure that all pods are removed/, reason: 'its pod has to run' },
  { pattern: /^\[sig-api-machinery\] CBOR .*sample-apiserver/, reason: 'its API server runs in a pod' },
  {
    pattern: /^\[sig-api-machinery\] OpenAPIV3 should contain OpenAPI V3 for Aggregated APIServer/,
    reason: 'its API server runs in a pod',
  },
  { pattern: /^\[sig-api-machinery\] API priority and fairness .*drowned out/, reason: 'skips itself until it is not flaky any more' },
];

/** Conformance specs of other groups that talk to the API alone; each pattern fits at least one. */
const OTHERS: readonly RegExp[] = [
  /^\[sig-storage\] (StorageClasses|CSINodes|PersistentVolumes) CSI Conformance /,
  /^\[sig-storage\] VolumeAttachment Conformance /,
  /^\[sig-storage\] CSIInlineVolumes should /,
  /^\[sig-storage\] (Secrets|ConfigMap) should be immutable /,
  /^\[sig-storage\] (CSIStorageCapacity|VolumeAttributesClass) /,
  /^\[sig-node\] ConfigMap should (update ConfigMap|run through|fail to create)/,
  /^\[sig-node\] Secrets should (patch a secret|fail to create)/,
  /^\[sig-node\] (Lease|PodTemplates) /,
  /^\[sig-node\] RuntimeClass should (support RuntimeClasses API|reject a Pod requesting a (non-existent|deleted))/,
  /^\[sig-node\] Pods Extended Pods Set QOS Class /,
  /^\[sig-network\] EndpointSlice should (create and delete|support creating)/,
  /^\[sig-network\] (Ingress API|IngressClass API|EndpointSliceMirroring|ServiceCIDR and IPAddress API) /,
  /^\[sig-network\] Endpoints should test the lifecycle/,
  /^\[sig-network\] Services should (complete a service status|delete a collection|find a service)/,
  /^\[sig-network\] API Server should provide secure master service/,
  /^\[sig-network\] EndpointsController should create and delete/,
  /^\[sig-apps\] CronJob should support CronJob API/,
  /^\[sig-apps\] ReplicationController should surface a failure condition/,
  /^\[sig-apps\] DisruptionController (should create a|Listing PodDisruptionBudgets)/,
  /^\[sig-auth\] ServiceAccounts should (guarantee kube-root-ca|update a ServiceAccount|run through|create a serviceAccountToken)/,
  /^\[sig-auth\] (SubjectReview|Certificates API) /,
  /^\[sig-cli\] Kubectl client Kubectl (api-versions|version|diff) /,
  /^\[sig-scheduling\] LimitRange /,
  /^\[sig-instrumentation\] Events/,
];

/** The quick ones that ask most of a store. */
const SHORT =
  /Watchers |should return chunks of|API Streaming|table results|Generated names|FieldValidation should detect|ServerSideApply|Discovery should|CustomResourceDefinition resources|RS created by deployment when not|life of a (configMap|secret|custom resource)|Events API|ConfigMap should run through|Lease lease API/;

/** Divides the specs; a pattern of the lists that fits none of them is refused, so that the lists stay true. */
export function selectSpecs(specs: readonly Spec[], { focus, isShort }: { readonly focus?: RegExp; readonly isShort: boolean }): Selection {
  const run: string[] = [];
  const leftOut: LeftOut[] = [];
  const unused = new Set<RegExp>([...NEEDS.map(({ pattern }) => pattern), ...OTHERS]);
  for (const { text, labels } of specs) {
    if (labels.includes(SIG)) {
      const label = labels.find((each) => LABELS.has(each));
      const need = NEEDS.find(({ pattern }) => pattern.test(text));
      if (need !== undefined) unused.delete(need.pattern);
      const reason = (label === undefined ? undefined : LABELS.get(label)) ?? need?.reason;
      if (reason === undefined) run.push(text);
      else leftOut.push({ text, reason });
    } else if (labels.includes('Conformance')) {
      const fitting = OTHERS.filter((pattern) => pattern.test(text));
      for (const pattern of fitting) unused.delete(pattern);
      if (fitting.length > 0) run.push(text);
    }
  }
  if (unused.size > 0) throw new Error(`no spec fits ${[...unused].join(', ')}: mend the lists in selection.ts`);
  const isWanted = (text: string): boolean => (focus?.test(text) ?? true) && (!isShort || SHORT.test(text));
  return { run: [...new Set(run)].filter(isWanted).sort(), leftOut };
}
