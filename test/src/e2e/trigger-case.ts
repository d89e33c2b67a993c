import {
  API_VERSION,
  type Email,
  EMAILS,
  HTTP_TRIGGERS,
  type HTTPTrigger,
  type HTTPTriggerSpec,
  type HTTPTriggerStatus,
} from '@harikube/crds';
import { EVENTS, ifFound, type KubeClient, type KubeObject } from '@harikube/kube';
import type { EventReceiver, ReceivedRequest } from './event-receiver.js';
import { until } from './until.js';

export type SpecPart = { readonly [Field in keyof HTTPTriggerSpec]?: unknown };
type Status = HTTPTriggerStatus;

export interface TriggerCaseOptions {
  readonly client: KubeClient;
  readonly receiver: EventReceiver;
  /** Of the trigger. */
  readonly name: string;
  readonly namespace: string;
}

export interface EmailPart {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: Partial<Email['spec']>;
}

/** `events.k8s.io/v1.Event` */
interface TriggerEventObject extends KubeObject {
  readonly reason?: string;
  readonly note?: string;
  readonly regarding?: { readonly name?: string };
}

const LABEL = 'case';

/** One trigger, the Emails that are its own by a label, and what it sends: its requests are those whose path begins with its name. */
export class TriggerCase {
  readonly name: string;
  readonly namespace: string;
  readonly #client: KubeClient;
  readonly #receiver: EventReceiver;

  constructor({ client, receiver, name, namespace }: TriggerCaseOptions) {
    this.#client = client;
    this.#receiver = receiver;
    this.name = name;
    this.namespace = namespace;
  }

  get url(): string {
    return `${this.#receiver.url}/${this.name}`;
  }

  get selector(): string {
    return `${LABEL}=${this.name}`;
  }

  get requests(): readonly ReceivedRequest[] {
    return this.#receiver.requests.filter(
      ({ path }) => path === `/${this.name}` || path.startsWith(`/${this.name}/`) || path.startsWith(`/${this.name}?`),
    );
  }

  /** What was told so far, such as `ADDED one`. */
  get told(): readonly string[] {
    return this.requests.map(({ headers }) => {
      const type = String(headers['ce-type']).replace('info.harikube.object.', '').toUpperCase();
      return `${type} ${String(headers['ce-name']).slice(this.name.length + 1)}`;
    });
  }

  /** The requests, as soon as there are so many. */
  async arrived(count = 1): Promise<readonly ReceivedRequest[]> {
    await this.#receiver.until(() => this.requests.length >= count);
    return this.requests;
  }

  /** The first request. */
  async request(): Promise<ReceivedRequest> {
    const [first] = await this.arrived();
    if (first === undefined) throw new Error('there is no request');
    return first;
  }

  /** Quick to retry, about the case's own Emails, those that are there included. What is undefined in the part is left out. */
  async create(part: SpecPart = {}): Promise<HTTPTrigger> {
    const spec = {
      resource: { apiVersion: API_VERSION, kind: 'Email' },
      labelSelectors: [this.selector],
      sendInitialEvents: true,
      url: { static: this.url },
      body: { template: '{{ toJson . }}' },
      delivery: { timeout: '5s', retries: 2 },
      retryPolicy: { initialDelay: '10ms', maxDelay: '50ms' },
      ...part,
    } as HTTPTriggerSpec;
    return await this.#client.create(HTTP_TRIGGERS, {
      apiVersion: 'triggers.harikube.info/v1',
      kind: 'HTTPTrigger',
      metadata: { name: this.name, namespace: this.namespace, labels: { [LABEL]: this.name } },
      spec,
    });
  }

  /** A merge patch. */
  async change(spec: SpecPart): Promise<void> {
    await this.#client.patch(HTTP_TRIGGERS, this.name, this.namespace, { spec }, { type: 'merge' });
  }

  async patchStatus(status: object): Promise<void> {
    await this.#client.patch(HTTP_TRIGGERS, this.name, this.namespace, { status }, { type: 'merge', subresource: 'status' });
  }

  async remove(): Promise<void> {
    await ifFound(this.#client.delete(HTTP_TRIGGERS, this.name, this.namespace));
  }

  /** The status, as soon as it holds. */
  async status(holds: (status: Status) => boolean, seconds = 120): Promise<Status> {
    const key = `${this.namespace}/${this.name}`;
    const isSo = (trigger: HTTPTrigger | undefined): boolean => trigger?.status !== undefined && holds(trigger.status);
    const found = await until(this.#client, HTTP_TRIGGERS, (all) => isSo(all.get(key)), {
      namespace: this.namespace,
      labelSelector: this.selector,
      seconds,
    });
    return found.get(key)?.status ?? {};
  }

  /** The message of the condition, as soon as it is so. */
  async condition(type: string, is: 'True' | 'False', reason: string): Promise<string> {
    const find = ({ conditions = [] }: Status): { readonly message: string } | undefined =>
      conditions.find((one) => one.type === type && one.status === is && one.reason === reason);
    return find(await this.status((status) => find(status) !== undefined))?.message ?? '';
  }

  /** The note of an Event about the trigger, as soon as there is one. */
  async event(reason: string): Promise<string> {
    const isIt = (event: TriggerEventObject): boolean => event.reason === reason && event.regarding?.name === this.name;
    const found = await until<TriggerEventObject>(this.#client, EVENTS, (all) => [...all.values()].some(isIt), {
      namespace: this.namespace,
    });
    return [...found.values()].find(isIt)?.note ?? '';
  }

  /** Resolves when whatever happens from then on is told. */
  async hasBegun(): Promise<void> {
    await this.status(({ cursor }) => cursor !== undefined);
  }

  /** An Email of the case. */
  async email(name: string, { namespace = 'default', labels = {}, spec = {} }: EmailPart = {}): Promise<Email> {
    return await this.#client.create(EMAILS, {
      apiVersion: API_VERSION,
      kind: 'Email',
      metadata: { name: `${this.name}-${name}`, namespace, labels: { [LABEL]: this.name, ...labels } },
      spec: { toAddress: `${name}@example.com`, fromName: 'Shop', fromAddress: 'shop@example.com', subject: 'Hello World', ...spec },
    });
  }

  /** A merge patch. */
  async changeEmail(name: string, patch: object, namespace = 'default'): Promise<Email> {
    return await this.#client.patch(EMAILS, `${this.name}-${name}`, namespace, patch, { type: 'merge' });
  }

  async deleteEmail(name: string, namespace = 'default'): Promise<void> {
    await this.#client.delete(EMAILS, `${this.name}-${name}`, namespace);
  }
}
