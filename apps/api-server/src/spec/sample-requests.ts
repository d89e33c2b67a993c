import { API_VERSION, type Condition, type RegistrationRequest } from '@harikube/crds';

export const PASSWORD = 'Plain-Canary-1';

export function condition(type: string, status: Condition['status'], reason = 'Said', message = 'said'): Condition {
  return { type, status, reason, message, lastTransitionTime: '2026-01-02T03:04:05Z' };
}

/** A request as the API has it. */
export function storedRequest(name: string, uid: string, ...conditions: Condition[]): RegistrationRequest {
  const isComplete = conditions.some(({ type, status }) => type === 'Complete' && status === 'True');
  return {
    apiVersion: API_VERSION,
    kind: 'RegistrationRequest',
    metadata: { name, uid, resourceVersion: '7', creationTimestamp: '2026-01-02T03:04:05Z' },
    spec: sampleSpec(`${name}@example.com`),
    status: { conditions, ...(isComplete ? { tenant: uid, namespace: uid, user: uid } : {}) },
  };
}

export function sampleSpec(email: string): RegistrationRequest['spec'] {
  return {
    user: { firstName: 'Jane', lastName: 'Doe', email },
    password: PASSWORD,
    tenant: { companyName: 'Acme', country: 'HU', city: 'Budapest', address: 'Main street 1', postalCode: '1011' },
  };
}
