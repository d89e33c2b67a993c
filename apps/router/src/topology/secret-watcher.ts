import { setTimeout as sleep } from 'node:timers/promises';
import { type TopologyDocument, TopologySourceError, topologyTextOf } from '@harikube/datasources';
import { Backoff, type Informer, InformerFactory, KubeClient, type KubeObject, type Resource, SECRETS, StatusError } from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import type { TopologyReading, TopologyWatcher } from './topology-watcher.js';

export interface SecretWatcherOptions {
  readonly namespace: string;
  readonly name: string;
  /** Null: KUBECONFIG, the account of the pod, or the user's own file. */
  readonly kubeconfig: string | null;
  readonly logger: Logger;
  /** How long Kubernetes may be out of reach before that is told. */
  readonly patienceMs?: number;
}

interface Secret extends KubeObject {
  data?: Record<string, string>;
}

const SECRET: Resource<Secret> = SECRETS;
const PATIENCE_MS = 30_000;
/** Nobody is asked but the API server that is started beside this router. */
const ATTEMPTS = { leastMs: 200, mostMs: 3000 };

/**
 * Follows a Secret through kube-apiserver, which may have its own data in this very router: it comes after the router, and is waited
 * for. Only this one Secret is asked for, so that a role with its name suffices.
 */
export class SecretWatcher implements TopologyWatcher {
  readonly #options: Required<SecretWatcherOptions>;
  readonly #name: string;
  readonly #stop = new AbortController();
  /** Why nothing is known at this moment; null: nothing stands in the way. */
  #trouble: () => Error | null = () => null;
  #poll: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor({ patienceMs = PATIENCE_MS, ...options }: SecretWatcherOptions) {
    this.#options = { ...options, patienceMs };
    this.#name = `secret://${options.namespace}/${options.name}`;
  }

  start(onReading: (reading: TopologyReading) => void): void {
    const { logger, patienceMs } = this.#options;
    let last: TopologyReading | null = null;
    const tell = (reading: TopologyReading): void => {
      last = reading;
      if (!this.#stop.signal.aborted) onReading(reading);
    };
    let wasTroubled = false;
    this.#poll = setInterval(() => {
      const trouble = this.#trouble();
      // A server that restarts is no news.
      if (trouble !== null && wasTroubled) onReading(this.#unreadable(trouble.message));
      if (trouble === null && last !== null) onReading(last);
      wasTroubled = trouble !== null;
    }, patienceMs / 2).unref();
    this.#running = this.#follow(tell).catch((err: unknown) => {
      if (this.#stop.signal.aborted) return;
      logger.error('the Secret of the topology is not followed any more', { err });
      this.#trouble = () => (err instanceof Error ? err : new Error(String(err)));
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    if (this.#poll !== null) clearInterval(this.#poll);
    await this.#running;
  }

  async #follow(tell: (reading: TopologyReading) => void): Promise<void> {
    const { namespace, name, logger } = this.#options;
    const client = await this.#reachedServer();
    try {
      const factory = new InformerFactory(client, { logger });
      const informer = factory.informer(SECRET, { namespace, fieldSelector: `metadata.name=${name}` });
      this.#trouble = () => informer.trouble;
      const tellState = (): void => tell(this.#readingOf(informer));
      informer.addHandler({ onAdd: tellState, onUpdate: tellState, onDelete: tellState });
      // What is not there is not told by a handler.
      void informer.synced.then(tellState);
      await factory.run(this.#stop.signal);
    } finally {
      await client.close();
    }
  }

  /** A client whose server has answered a question for the Secret. */
  async #reachedServer(): Promise<KubeClient> {
    const { kubeconfig, namespace, name } = this.#options;
    const { signal } = this.#stop;
    const backoff = new Backoff(ATTEMPTS);
    for (;;) {
      let client: KubeClient | null = null;
      try {
        // The file may be written by whoever starts kube-apiserver, after this.
        client = KubeClient.fromConfig({ userAgent: 'harikube-router', ...(kubeconfig === null ? {} : { kubeconfig }) });
        await client.get(SECRET, name, namespace, { signal });
        return client;
      } catch (error) {
        if (client !== null && error instanceof StatusError && error.isNotFound) return client;
        await client?.close();
        signal.throwIfAborted();
        this.#trouble = () => (error instanceof Error ? error : new Error(String(error)));
      }
      await sleep(backoff.next(), undefined, { signal, ref: false });
    }
  }

  #readingOf(informer: Informer<Secret>): TopologyReading {
    const { namespace, name } = this.#options;
    const secret = informer.get(name, namespace);
    if (secret === undefined) return this.#unreadable('there is no such Secret');
    try {
      return { type: 'read', documents: Object.entries(secret.data ?? {}).map(([key, value]) => this.#document(key, value)) };
    } catch (error) {
      if (error instanceof TopologySourceError) return { type: 'unreadable', reason: error.message };
      throw error;
    }
  }

  #document(key: string, value: string): TopologyDocument {
    return { name: key, text: topologyTextOf(Buffer.from(value, 'base64'), `${this.#name}/${key}`) };
  }

  #unreadable(reason: string): TopologyReading {
    return { type: 'unreadable', reason: `cannot read topology ${this.#name}: ${reason}` };
  }
}
