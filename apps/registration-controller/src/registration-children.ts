import {
  API_VERSION,
  claimName,
  type Email,
  type EmailClaim,
  type EmailSpec,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  PASSWORD_SECRET_KEY,
  REGISTRATION_ANNOTATION,
  type RegistrationRequest,
  type Tenant,
  TENANT_LABEL,
  type User,
  type UserSpec,
} from '@harikube/crds';
import { type KubeObject, type ObjectMeta, type OwnerReference, TRACEPARENT_ANNOTATION } from '@harikube/kube';
import { currentTraceparent, validTraceparent } from '@harikube/platform';

/** Code points. */
const MAX_COMPANY_NAME = 250;

export interface Secret extends KubeObject {
  type?: string;
  data?: Record<string, string>;
}

/** The name of everything that a request becomes: its uid, which no other request ever has. */
export function registeredName(request: RegistrationRequest): string {
  return String(request.metadata.uid);
}

export function claimNameOf(request: RegistrationRequest): string {
  return claimName(request.spec.user.email);
}

export function claimOf(request: RegistrationRequest): EmailClaim {
  return {
    apiVersion: API_VERSION,
    kind: 'EmailClaim',
    metadata: { ...madeFor(request), name: claimNameOf(request), ownerReferences: [ownerReference(request)] },
    spec: { requestName: String(request.metadata.name), requestUid: String(request.metadata.uid) },
  };
}

export function tenantOf(request: RegistrationRequest): Tenant {
  const { tenant, user } = request.spec;
  return {
    apiVersion: API_VERSION,
    kind: 'Tenant',
    metadata: { ...madeFor(request), name: registeredName(request) },
    spec: { ...tenant, companyName: tenant.companyName ?? personOf(user) },
  };
}

/** For a request that admission has given no company: a name that is longer than a company's may be is left out there, and cut here. */
function personOf({ firstName, lastName }: UserSpec): string {
  return [...`${firstName} ${lastName}`].slice(0, MAX_COMPANY_NAME).join('');
}

export function userOf(request: RegistrationRequest, tenant: Tenant): User {
  const name = registeredName(request);
  return {
    apiVersion: API_VERSION,
    kind: 'User',
    metadata: { ...madeFor(request), name, namespace: name, ownerReferences: [ownerReference(tenant)] },
    spec: request.spec.user,
  };
}

export function passwordSecretOf(request: RegistrationRequest): Secret {
  const name = registeredName(request);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { ...madeFor(request), name, namespace: name },
    type: 'Opaque',
    data: { [PASSWORD_SECRET_KEY]: Buffer.from(request.spec.password, 'utf8').toString('base64') },
  };
}

export function emailOf(request: RegistrationRequest, user: User, spec: EmailSpec): Email {
  const name = registeredName(request);
  return {
    apiVersion: API_VERSION,
    kind: 'Email',
    metadata: { ...madeFor(request), name: `${name}-welcome`, namespace: name, ownerReferences: [ownerReference(user)] },
    spec,
  };
}

/** What a later deletion of the owner takes along. */
export function ownerReference(owner: RegistrationRequest | Tenant | User): OwnerReference {
  const { name = '', uid = '' } = owner.metadata;
  return { apiVersion: API_VERSION, kind: owner.kind, name, uid };
}

function madeFor(request: RegistrationRequest): ObjectMeta {
  // Where this process does not trace, those that do go on where the request came from.
  const traceparent = currentTraceparent() ?? validTraceparent(request.metadata.annotations?.[TRACEPARENT_ANNOTATION]);
  return {
    labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [TENANT_LABEL]: registeredName(request) },
    annotations: {
      [REGISTRATION_ANNOTATION]: String(request.metadata.name),
      ...(traceparent === undefined ? {} : { [TRACEPARENT_ANNOTATION]: traceparent }),
    },
  };
}
