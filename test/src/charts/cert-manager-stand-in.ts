/** Stands in for cert-manager and its CA injector: issues the Secret of each Certificate, and lets webhooks trust the authority that they name. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { InformerFactory, KubeClient, type KubeObject, type Resource, SECRETS } from '@harikube/kube';
import { type KeyPair, loadAuthority, loadCertificate } from '@harikube/local-cluster';
import type { Kubectl } from '../e2e/kubectl.js';
import { foreignDefinitions } from './data-layer-cluster.js';

const GROUP = 'cert-manager.io';
const INJECT = `${GROUP}/inject-ca-from`;

interface Certificate extends KubeObject {
  spec: {
    secretName: string;
    commonName?: string;
    dnsNames?: string[];
    isCA?: boolean;
    usages?: string[];
    privateKey?: { rotationPolicy?: 'Always' | 'Never' };
    issuerRef: { name: string; kind?: string };
  };
}

interface Issuer extends KubeObject {
  spec: { selfSigned?: object; ca?: { secretName: string } };
}

interface Secret extends KubeObject {
  type?: string;
  data?: Record<string, string>;
}

/** A webhook configuration has a bundle for each webhook, an APIService has one. */
interface Injected extends KubeObject {
  webhooks?: { clientConfig: { caBundle?: string } }[];
  spec?: { caBundle?: string };
}

const CERTIFICATES: Resource<Certificate> = { group: GROUP, version: 'v1', kind: 'Certificate', plural: 'certificates', namespaced: true };
const ISSUERS: Resource<Issuer> = { group: GROUP, version: 'v1', kind: 'Issuer', plural: 'issuers', namespaced: true };
const SECRET: Resource<Secret> = SECRETS;
const INJECTED = (
  [
    ['admissionregistration.k8s.io', 'ValidatingWebhookConfiguration'],
    ['admissionregistration.k8s.io', 'MutatingWebhookConfiguration'],
    ['apiregistration.k8s.io', 'APIService'],
  ] as const
).map(([group, kind]): Resource<Injected> => ({ group, version: 'v1', kind, plural: `${kind.toLowerCase()}s`, namespaced: false }));

export interface CertManagerStandInOptions {
  readonly kubeconfig: string;
  readonly kubectl: Kubectl;
  readonly folder: string;
}

export class CertManagerStandIn {
  readonly #client: KubeClient;
  readonly #informers: InformerFactory;
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #last: Promise<void> = Promise.resolve();
  #failure: Error | null = null;

  private constructor(
    kubeconfig: string,
    private readonly folder: string,
  ) {
    this.#client = KubeClient.fromConfig({ kubeconfig, userAgent: 'cert-manager-stand-in' });
    this.#informers = new InformerFactory(this.#client);
  }

  /** Installs cert-manager's own definitions of its kinds. Keys and certificates lie in the folder, too. */
  static async start({ kubeconfig, kubectl, folder }: CertManagerStandInOptions): Promise<CertManagerStandIn> {
    await mkdir(folder, { recursive: true });
    const definitions = (await foreignDefinitions(folder)).filter((file) => /crd-(certificates|issuers)\.json$/.test(file));
    await kubectl.succeed(['create', '-f', definitions.join(',')]);
    await kubectl.established();
    const standIn = new CertManagerStandIn(kubeconfig, folder);
    await standIn.#start();
    return standIn;
  }

  /** Makes the certificate of a Secret anew, by the same authority, with the key that its Certificate asks for; resolves when the Secret holds it. */
  async renew(namespace: string, secretName: string): Promise<void> {
    const certificate = this.#certificateOf(namespace, secretName);
    if (certificate === undefined) throw new Error(`no Certificate is for the Secret ${namespace}/${secretName}`);
    const keepsKey = certificate.spec.privateKey?.rotationPolicy === 'Never';
    for (const end of keepsKey ? ['crt'] : ['crt', 'key']) await rm(join(this.folder, namespace, `${secretName}.${end}`));
    await this.#soon();
  }

  /** Rejects with what it could not do. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#last;
    await this.#running;
    await this.#client.close();
    if (this.#failure !== null) throw new Error('the stand-in of cert-manager failed', { cause: this.#failure });
  }

  async #start(): Promise<void> {
    const { signal } = this.#stopping;
    const onChange = (): void => void this.#soon();
    const handler = { onAdd: onChange, onUpdate: onChange, onDelete: onChange };
    for (const resource of [CERTIFICATES, ISSUERS, SECRETS, ...INJECTED] as readonly Resource<KubeObject>[])
      this.#informers.informer(resource).addHandler(handler);
    this.#running = this.#informers.run(signal);
    await this.#informers.awaitSynced(signal);
  }

  #soon(): Promise<void> {
    return (this.#last = this.#last
      .then(() => (this.#stopping.signal.aborted ? undefined : this.#reconcile()))
      .catch((error: unknown) => void (this.#failure ??= error as Error)));
  }

  async #reconcile(): Promise<void> {
    // Authorities before what they sign.
    const certificates = this.#informers
      .informer(CERTIFICATES)
      .list()
      .toSorted((a, b) => Number(b.spec.isCA) - Number(a.spec.isCA));
    for (const certificate of certificates) await this.#issue(certificate);
    for (const resource of INJECTED) for (const object of this.#informers.informer(resource).list()) await this.#inject(resource, object);
  }

  async #issue({ metadata, spec }: Certificate): Promise<void> {
    const { namespace = '', name } = metadata;
    const { secretName, isCA = false, commonName = '', dnsNames, usages = [] } = spec;
    const authority = await this.#authorityOf(namespace, spec);
    // Its issuer comes later.
    if (authority === undefined) return;
    const folder = join(this.folder, namespace);
    const pair =
      authority === null || isCA
        ? await loadAuthority(folder, secretName, commonName)
        : await loadCertificate(
            folder,
            { authority },
            {
              file: secretName,
              commonName,
              use: usages.includes('client auth') ? 'client' : 'server',
              serverNames: dnsNames,
            },
          );
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const data = {
      'ca.crt': base64((authority ?? pair).certificate),
      'tls.crt': base64(pair.certificate),
      'tls.key': base64(pair.key),
    };
    if (this.#secretOf(namespace, secretName)?.data?.['tls.crt'] === data['tls.crt']) return;
    const object = {
      metadata: { name: secretName, namespace, annotations: { [`${GROUP}/certificate-name`]: String(name) } },
      type: 'kubernetes.io/tls',
      data,
    };
    await this.#client.apply(SECRET, object, { fieldManager: 'cert-manager-stand-in', force: true });
  }

  /** Null: it signs itself; undefined: its issuer is not there. */
  async #authorityOf(namespace: string, { issuerRef }: Certificate['spec']): Promise<KeyPair | null | undefined> {
    const issuer = this.#informers.informer(ISSUERS).get(issuerRef.name, namespace);
    if (issuer === undefined) return undefined;
    if (issuer.spec.selfSigned !== undefined) return null;
    const secretName = issuer.spec.ca?.secretName;
    if (secretName === undefined) throw new Error(`the Issuer ${issuerRef.name} is of a kind that is not known`);
    const own = this.#certificateOf(namespace, secretName);
    return own === undefined ? undefined : await loadAuthority(join(this.folder, namespace), secretName, own.spec.commonName ?? '');
  }

  #certificateOf(namespace: string, secretName: string): Certificate | undefined {
    return this.#informers
      .informer(CERTIFICATES)
      .list(namespace)
      .find(({ spec }) => spec.secretName === secretName);
  }

  #secretOf(namespace: string, name: string): Secret | undefined {
    return this.#informers.informer(SECRET).get(name, namespace);
  }

  async #inject(resource: Resource<Injected>, { metadata, webhooks, spec }: Injected): Promise<void> {
    const [namespace = '', certificateName = ''] = (metadata.annotations?.[INJECT] ?? '').split('/');
    const certificate = this.#informers.informer(CERTIFICATES).get(certificateName, namespace);
    const value = certificate === undefined ? undefined : this.#secretOf(namespace, certificate.spec.secretName)?.data?.['ca.crt'];
    if (value === undefined) return;
    const bundles = webhooks?.map(({ clientConfig }, index) => [`/webhooks/${index}/clientConfig/caBundle`, clientConfig.caBundle]) ?? [
      ['/spec/caBundle', spec?.caBundle],
    ];
    const patch = bundles.flatMap(([path, bundle]) => (bundle === value ? [] : [{ op: 'add', path, value }]));
    if (patch.length > 0) await this.#client.patch(resource, String(metadata.name), undefined, patch, { type: 'json' });
  }
}
