import {
  AGGREGATED_API_VERSION,
  AGGREGATED_GROUP,
  API_VERSION,
  GROUP,
  RegistrationRequest,
  type RegistrationRequestSpec,
  REQUESTED_BY_ANNOTATION,
  unknownFields,
} from '@harikube/crds';
import { type ObjectMeta, TRACEPARENT_ANNOTATION } from '@harikube/kube';
import type { DecodedBody } from './body-decoder.js';
import type { CreateOptions } from './create-options.js';
import { badRequest, type Fault, invalid, KIND } from './status-answer.js';

/** What a registration is answered with. It is stored nowhere, so it has neither a uid nor a version of its own. */
export interface Registration {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  /** The password does not come back. */
  readonly spec: Omit<RegistrationRequestSpec, 'password'>;
  readonly status: RegistrationResult;
}

export interface RegistrationResult {
  /** Name and uid of the RegistrationRequest. */
  readonly request?: string;
  readonly uid?: string;
  readonly tenant?: string;
  readonly namespace?: string;
  readonly user?: string;
}

/** What is asked for, as far as this server judges it: what the spec holds is for kube-apiserver, its schema and its admission to judge. */
export interface AskedRegistration {
  /** Empty: a name is to be made of `generateName`. */
  readonly name: string;
  readonly generateName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: unknown;
  /** Sentences for Warning headers. */
  readonly warnings: readonly string[];
}

/** Where `kubectl apply` and `create --save-config` repeat everything that was sent, the password with it. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** On the RegistrationRequest, beside who asked for it: where the audit log of kube-apiserver has it. */
const AUDIT_ID_ANNOTATION = `${GROUP}/audit-id`;

const METADATA_FIELDS = [
  'annotations',
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'finalizers',
  'generateName',
  'generation',
  'labels',
  'managedFields',
  'name',
  'namespace',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
  'uid',
];

/** Reads what was sent to `…/registrations` or, with `pathName`, to `…/registrations/NAME`. Throws 400 and 422. */
export function readRegistration(body: DecodedBody, pathName: string, options: CreateOptions): AskedRegistration {
  const { object } = body;
  checkType(object);
  const said = (what: string): Error => badRequest(`${String(object['kind'])} in version "v1" cannot be handled as a ${KIND}: ${what}`);
  const warnings = checkFields(body, options, said);
  const metadata = object['metadata'] ?? {};
  if (!isRecord(metadata)) throw said('metadata is not an object');
  const text = (field: string): string => {
    const value = metadata[field] ?? '';
    if (typeof value !== 'string') throw said(`metadata.${field} is not a text`);
    return value;
  };
  const bodyName = text('name');
  if (pathName !== '' && bodyName !== '' && bodyName !== pathName)
    throw badRequest(`the name of the object (${bodyName}) does not match the name on the URL (${pathName})`);
  if (text('resourceVersion') !== '') throw badRequest('resourceVersion should not be set on objects to be created');
  const name = pathName === '' ? bodyName : pathName;
  const generateName = text('generateName');
  const faults: Fault[] = [];
  if (name === '' && generateName === '')
    faults.push({ field: 'metadata.name', reason: 'FieldValueRequired', message: 'Required value: name or generateName is required' });
  // Admission takes a finalizer for the sign that it has seen the object before.
  for (const field of ['finalizers', 'ownerReferences']) {
    const value = metadata[field];
    if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) continue;
    faults.push({
      field: `metadata.${field}`,
      reason: 'FieldValueForbidden',
      message: 'Forbidden: a registration is not kept and not owned',
    });
  }
  if (faults.length > 0) throw invalid(name, faults);
  const map = (field: string): Record<string, string> => {
    const value = metadata[field] ?? {};
    if (!isRecord(value) || !Object.values(value).every((entry) => typeof entry === 'string'))
      throw said(`metadata.${field} is not a map of texts`);
    return value as Record<string, string>;
  };
  // A trace is told by the header of the request.
  const { [LAST_APPLIED]: _, [TRACEPARENT_ANNOTATION]: __, ...annotations } = map('annotations');
  return { name, generateName, labels: map('labels'), annotations, spec: object['spec'], warnings };
}

/** What is stored for it. */
export function requestOf(
  asked: AskedRegistration,
  name: string,
  by: { readonly user: string; readonly auditId: string; readonly traceparent?: string | undefined },
): RegistrationRequest {
  const annotations = {
    ...asked.annotations,
    [REQUESTED_BY_ANNOTATION]: by.user,
    [AUDIT_ID_ANNOTATION]: by.auditId,
    ...(by.traceparent === undefined ? {} : { [TRACEPARENT_ANNOTATION]: by.traceparent }),
  };
  return {
    apiVersion: API_VERSION,
    kind: 'RegistrationRequest',
    metadata: { name, labels: { ...asked.labels }, annotations },
    // Whatever it is: kube-apiserver says what is wrong with it.
    spec: asked.spec as RegistrationRequestSpec,
  };
}

/** The answer about a request, with as much of a result as there is. */
export function registrationOf(request: RegistrationRequest): Registration {
  const { metadata, status = {} } = request;
  const { user, tenant } = request.spec;
  const {
    [REQUESTED_BY_ANNOTATION]: _,
    [AUDIT_ID_ANNOTATION]: __,
    [TRACEPARENT_ANNOTATION]: ___,
    ...annotations
  } = metadata.annotations ?? {};
  return {
    apiVersion: AGGREGATED_API_VERSION,
    kind: KIND,
    metadata: {
      ...(metadata.name === undefined ? {} : { name: metadata.name }),
      ...(metadata.creationTimestamp === undefined ? {} : { creationTimestamp: metadata.creationTimestamp }),
      ...(Object.keys(metadata.labels ?? {}).length === 0 ? {} : { labels: metadata.labels }),
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
    spec: { user, tenant },
    status: {
      ...(metadata.name === undefined ? {} : { request: metadata.name }),
      ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
      ...(status.tenant === undefined ? {} : { tenant: status.tenant }),
      ...(status.namespace === undefined ? {} : { namespace: status.namespace }),
      ...(status.user === undefined ? {} : { user: status.user }),
    },
  };
}

/** This kind, and the stored one, which the reference's clients send. */
function checkType(object: Readonly<Record<string, unknown>>): void {
  const { apiVersion, kind } = object;
  const missing = (field: string): Error =>
    badRequest(`the object provided is unrecognized (must be of type ${KIND}): Object '${field}' is missing`);
  if (typeof kind !== 'string' || kind === '') throw missing('Kind');
  if (typeof apiVersion !== 'string' || apiVersion === '') throw missing('apiVersion');
  if (kind === 'RegistrationRequest' && apiVersion === API_VERSION) return;
  if (kind !== KIND && kind !== 'RegistrationRequest')
    throw badRequest(`the kind in the data (${shortened(kind)}) does not match the expected kind (${KIND}.${AGGREGATED_GROUP})`);
  if (kind === KIND && apiVersion === AGGREGATED_API_VERSION) return;
  const expected = kind === KIND ? AGGREGATED_API_VERSION : API_VERSION;
  throw badRequest(`the API version in the data (${shortened(apiVersion)}) does not match the expected API version (${expected})`);
}

/** Warnings, or the refusal of strict decoding. */
function checkFields({ object, duplicates }: DecodedBody, { fieldValidation }: CreateOptions, said: (what: string) => Error): string[] {
  if (fieldValidation === 'Ignore') return [];
  const metadata = object['metadata'];
  // The status is another one than that of a request, and ignored like it.
  const { status: _, ...rest } = object;
  const unknown = [
    ...(isRecord(metadata) ? Object.keys(metadata).filter((field) => !METADATA_FIELDS.includes(field)) : []).map(
      (field) => `metadata.${field}`,
    ),
    ...unknownFields(RegistrationRequest, rest),
  ];
  const complaints = [...duplicates, ...unknown.map((field) => `unknown field "${shortened(field)}"`)];
  if (fieldValidation === 'Strict' && complaints.length > 0) throw said(`strict decoding error: ${complaints.join(', ')}`);
  return complaints;
}

function shortened(text: string): string {
  return text.length <= 100 ? text : `${[...text].slice(0, 100).join('')}…`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
