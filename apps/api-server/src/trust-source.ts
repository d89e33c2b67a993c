import { CONFIG_MAPS, type Informer, type KubeObject, type Resource } from '@harikube/kube';
import { ConfigError, type Logger } from '@harikube/platform';
import { NO_TRUST, parseTrust, type TrustConfig } from './trust-config.js';

export const TRUST_NAMESPACE = 'kube-system';
const TRUST_CONFIG_MAP = 'extension-apiserver-authentication';

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export const TRUST_RESOURCE: Resource<ConfigMap> = { ...CONFIG_MAPS, object: undefined };
/** The one object that may be read there. */
export const TRUST_SELECTION = { namespace: TRUST_NAMESPACE, fieldSelector: `metadata.name=${TRUST_CONFIG_MAP}` };

/** Follows what kube-apiserver publishes about whom to believe. A deletion changes nothing: what was good last stays in force. */
export class TrustSource {
  #trust: TrustConfig = NO_TRUST;
  readonly #listeners = new Set<(trust: TrustConfig) => void>();

  constructor(
    private readonly configMaps: Pick<Informer<ConfigMap>, 'addHandler' | 'get'>,
    private readonly logger: Logger,
  ) {}

  get trust(): TrustConfig {
    return this.#trust;
  }

  /** When the cache has been filled. Throws `ConfigError` when there is nothing to believe. */
  start(): void {
    if (this.configMaps.get(TRUST_CONFIG_MAP, TRUST_NAMESPACE) === undefined)
      throw new ConfigError([
        `there is no ConfigMap ${TRUST_NAMESPACE}/${TRUST_CONFIG_MAP}: kube-apiserver has to run with --client-ca-file or --requestheader-client-ca-file`,
      ]);
    this.configMaps.addHandler({ onAdd: (map) => this.#read(map), onUpdate: (_, map) => this.#read(map) });
  }

  /** Told of changes after the start. */
  onChange(listener: (trust: TrustConfig) => void): void {
    this.#listeners.add(listener);
  }

  #read({ data = {} }: ConfigMap): void {
    const { trust, complaints } = parseTrust(data, this.#trust);
    if (complaints.length > 0)
      this.logger.error('the authentication settings of kube-apiserver cannot be read, those before stay', { keys: complaints });
    this.#trust = trust;
    for (const listener of this.#listeners) listener(trust);
  }
}
