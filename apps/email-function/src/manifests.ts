import { EMAILS, GROUP, MANAGED_BY, MANAGED_BY_LABEL } from '@harikube/crds';
import { accountManifests } from '@harikube/kube';

export interface EmailFunctionManifestsOptions {
  readonly namespace: string;
  /** Where the function is when it runs outside of the cluster; then `port` is the one that it listens on. */
  readonly externalName?: string;
  readonly port?: number;
}

const NAME = 'email-function';
const PORT = 8080;

/** What the function needs in Kubernetes: to read Emails and to say what became of them, and a Service by which triggers find it. */
export function emailFunctionManifests({ namespace, externalName, port = PORT }: EmailFunctionManifestsOptions): object[] {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY, 'app.kubernetes.io/name': NAME };
  const ports = [{ name: 'http', port, protocol: 'TCP' }];
  return [
    ...accountManifests({
      name: NAME,
      namespace,
      labels,
      clusterRules: [
        { apiGroups: [GROUP], resources: [EMAILS.plural], verbs: ['get'] },
        { apiGroups: [GROUP], resources: [`${EMAILS.plural}/status`], verbs: ['patch'] },
      ],
    }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: NAME, namespace, labels },
      spec:
        externalName === undefined
          ? { selector: { 'app.kubernetes.io/name': NAME }, ports: ports.map((each) => ({ ...each, targetPort: PORT })) }
          : { type: 'ExternalName', externalName, ports },
    },
  ];
}
