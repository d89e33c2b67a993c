import { GROUP, VERSION } from '@harikube/crds';
import type { Resource } from '@harikube/kube';
import { type AdmissionRequest, parseReview } from '../admission-review.js';

export interface ReviewOptions {
  readonly uid?: string;
  readonly kind?: string;
  /** In place of `kind`: one of another group. */
  readonly resource?: Pick<Resource<unknown>, 'group' | 'version' | 'kind'>;
  readonly name?: string;
  readonly operation?: string;
  readonly username?: string;
  readonly isDryRun?: boolean;
  readonly object?: unknown;
  readonly oldObject?: unknown;
}

/** A question as kube-apiserver asks it. */
export function reviewBody({
  uid = 'uid-1',
  kind: ofShop = 'RegistrationRequest',
  resource: { group, version, kind } = { group: GROUP, version: VERSION, kind: ofShop },
  name = 'sample',
  operation = 'CREATE',
  username = 'someone',
  isDryRun = false,
  object = {},
  oldObject = null,
}: ReviewOptions): string {
  return JSON.stringify({
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid,
      kind: { group, version, kind },
      resource: { group, version, resource: `${kind.toLowerCase()}s` },
      requestKind: { group, version, kind },
      requestResource: { group, version, resource: `${kind.toLowerCase()}s` },
      name,
      operation,
      userInfo: { username, groups: ['system:authenticated'], extra: { token: ['Canary'] } },
      object,
      oldObject,
      dryRun: isDryRun,
      options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
    },
  });
}

export function requestOf(options: ReviewOptions): AdmissionRequest {
  return parseReview(reviewBody(options));
}
