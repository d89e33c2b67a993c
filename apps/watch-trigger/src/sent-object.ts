import type { KubeObject } from '@harikube/kube';
import type { TriggerEvent } from './trigger-event.js';

const REPLACEMENT = 'REDACTED';
/** A copy of the whole object, in which kubectl keeps what was applied. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

interface SecretObject extends KubeObject {
  data?: unknown;
  stringData?: unknown;
}

/** What templates and filters see of the object: of a Secret the keys, and the values only where the operator allows that. */
export function sentObject({ resource, object }: TriggerEvent, allowsSecretData: boolean): KubeObject {
  if (resource.group !== '' || resource.kind !== 'Secret' || allowsSecretData) return object;
  const { data, stringData, metadata, ...rest }: SecretObject = object;
  const { annotations, ...more } = metadata;
  const isApplied = annotations?.[LAST_APPLIED] !== undefined;
  const sent: SecretObject = {
    ...rest,
    metadata:
      annotations === undefined
        ? more
        : { ...more, annotations: isApplied ? { ...annotations, [LAST_APPLIED]: REPLACEMENT } : annotations },
  };
  if (data !== undefined) sent.data = withoutValues(data);
  if (stringData !== undefined) sent.stringData = withoutValues(stringData);
  return sent;
}

function withoutValues(values: unknown): unknown {
  if (typeof values !== 'object' || values === null) return values;
  return Object.fromEntries(Object.keys(values).map((key) => [key, REPLACEMENT]));
}
