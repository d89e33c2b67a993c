/** The headers of CloudEvents 1.0, HTTP protocol binding, binary mode: the body is whatever the trigger makes of the object. */
import { apiVersionOf, type KubeObject, type Resource } from '@harikube/kube';
import type { EventType, TriggerEvent } from './trigger-event.js';

export interface TriggerName {
  readonly name: string;
  readonly namespace: string;
}

const TYPES: Readonly<Record<EventType, string>> = {
  ADDED: 'info.harikube.object.added',
  MODIFIED: 'info.harikube.object.modified',
  DELETED: 'info.harikube.object.deleted',
};

export function cloudEventHeaders(event: TriggerEvent, trigger: TriggerName): Record<string, string> {
  const { resource, object, stillExists } = event;
  const { name = '', namespace } = object.metadata;
  return encoded({
    'ce-specversion': '1.0',
    'ce-id': event.id,
    'ce-source': `/apis/triggers.harikube.info/v1/namespaces/${trigger.namespace}/httptriggers/${trigger.name}`,
    'ce-type': TYPES[event.type],
    'ce-subject': apiPath(resource, object),
    'ce-time': new Date(event.receivedAt).toISOString(),
    'ce-kind': resource.kind,
    'ce-apiversion': apiVersionOf(resource),
    'ce-name': name,
    'ce-namespace': namespace,
    'ce-resourceversion': event.resourceVersion,
    'ce-initial': event.isInitial ? 'true' : undefined,
    'ce-gap': event.isAfterGap ? 'true' : undefined,
    'ce-stillexists': stillExists === undefined ? undefined : String(stillExists),
  });
}

export interface DeliveryFailure {
  readonly reason: string;
  readonly message: string;
  readonly code?: number;
}

/** Percent-encoded it may be six times as long, and servers take some kilobytes of headers in all. */
const MAX_MESSAGE_CHARACTERS = 512;

/** What a dead letter says beside the event's own headers; `destination` null: it could not be told. */
export function deadLetterHeaders({ reason, message, code }: DeliveryFailure, destination: URL | null): Record<string, string> {
  return encoded({
    'ce-errorreason': reason,
    'ce-errorcode': code === undefined ? undefined : String(code),
    // Without credentials and query, which may be secrets.
    'ce-errordest': destination === null ? undefined : `${destination.origin}${destination.pathname}`,
    'ce-errormessage': message.slice(0, MAX_MESSAGE_CHARACTERS),
  });
}

function apiPath(resource: Resource<KubeObject>, { metadata: { name = '', namespace } }: KubeObject): string {
  const { group, version, plural, namespaced } = resource;
  const place = namespaced && namespace !== undefined ? `/namespaces/${namespace}` : '';
  return `${group === '' ? '/api' : `/apis/${group}`}/${version}${place}/${plural}/${name}`;
}

function encoded(attributes: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== '') headers[name] = percentEncoded(value);
  return headers;
}

/** As the binding has it: a space, a quote, a percent sign, and everything that is not printable ASCII, each byte of UTF-8 as `%XX`. */
function percentEncoded(value: string): string {
  return value
    .toWellFormed()
    .replace(/[^\x21\x23\x24\x26-\x7e]+/gu, (text) =>
      [...Buffer.from(text)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
    );
}
