/** What controllers rely on in the metadata of an object, kept from those who are not these controllers. */
import { type AdmissionRequest, type Cause, textAt } from '@harikube/admission';
import { REGISTRATION_ANNOTATION, TENANT_LABEL } from '@harikube/crds';

/** The accounts of the platform, by the full name under which the API server knows them. */
export interface PlatformAccounts {
  readonly apiServer: string;
  readonly registrationController: string;
  readonly tenantController: string;
}

export function platformAccounts(namespace: string): PlatformAccounts {
  const account = (name: string): string => `system:serviceaccount:${namespace}:${name}`;
  return {
    apiServer: account('api-server'),
    registrationController: account('registration-controller'),
    tenantController: account('tenant-controller'),
  };
}

const CONTROLLED = [
  { path: ['metadata', 'labels', TENANT_LABEL], field: `metadata.labels[${TENANT_LABEL}]` },
  { path: ['metadata', 'annotations', REGISTRATION_ANNOTATION], field: `metadata.annotations[${REGISTRATION_ANNOTATION}]` },
];

/**
 * The label and the annotation that say which registration an object was made for are set by the registration-controller, once. Nobody else sets
 * them, whatever groups he is in: an administrator's Tenant or User has none of them.
 */
export function registrationMarkCauses({ object, oldObject, username }: AdmissionRequest, registrationController: string): Cause[] {
  return CONTROLLED.flatMap(({ path, field }): Cause[] => {
    const before = textAt(oldObject, path);
    if (textAt(object, path) === before) return [];
    if (before !== undefined) return [{ reason: 'FieldValueForbidden', message: 'Forbidden: it cannot be changed', field }];
    if (username === registrationController) return [];
    return [{ reason: 'FieldValueForbidden', message: 'Forbidden: only the registration-controller sets it', field }];
  });
}
