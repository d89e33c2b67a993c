import {
  type AdmissionRequest,
  ALLOWED,
  type Cause,
  invalid,
  isDeleting,
  JsonPatch,
  specCauses,
  textAt,
  valueAt,
  type Verdict,
} from '@harikube/admission';
import { PASSWORD_ANNOTATION, User } from '@harikube/crds';
import { type PlatformAccounts, registrationMarkCauses } from './kept-metadata.js';
import { LAST_APPLIED_ANNOTATION, withoutPasswordAnnotation } from './last-applied.js';
import type { HashBounds } from './password-hash.js';

const LAST_APPLIED = ['metadata', 'annotations', LAST_APPLIED_ANNOTATION];
const SCRUBBED_WARNING = 'kubectl apply repeats the password hash in an annotation: it was removed from there';

export interface UserAdmissionOptions {
  readonly accounts: PlatformAccounts;
  readonly bounds: HashBounds;
}

/** A User is given a password as a hash, in an annotation that its controller moves into a Secret. That no two have one address is the claims' affair. */
export class UserAdmission {
  readonly #options: UserAdmissionOptions;

  constructor(options: UserAdmissionOptions) {
    this.#options = options;
  }

  mutate({ operation, object }: AdmissionRequest): Verdict {
    if (object === null || (operation !== 'CREATE' && operation !== 'UPDATE')) return ALLOWED;
    const before = textAt(object, LAST_APPLIED);
    const after = before === undefined ? undefined : withoutPasswordAnnotation(before);
    if (after === before) return ALLOWED;
    const patch = new JsonPatch(object);
    if (typeof after === 'string') patch.set(LAST_APPLIED, after);
    else patch.remove(LAST_APPLIED);
    return { denial: null, patch: patch.operations, warnings: [SCRUBBED_WARNING] };
  }

  validate(request: AdmissionRequest): Verdict {
    const { operation, object } = request;
    if (object === null || (operation !== 'CREATE' && operation !== 'UPDATE')) return ALLOWED;
    const causes = [
      ...(isDeleting(object) ? [] : specCauses(User, request, object)),
      ...this.#passwordCauses(request),
      ...registrationMarkCauses(request, this.#options.accounts.registrationController),
    ];
    return causes.length === 0 ? ALLOWED : invalid(request, causes);
  }

  #passwordCauses({ object, oldObject }: AdmissionRequest): Cause[] {
    const path = ['metadata', 'annotations', PASSWORD_ANNOTATION];
    const password = valueAt(object, path);
    if (password === undefined || password === valueAt(oldObject, path)) return [];
    const problem = this.#options.bounds.problemOf(typeof password === 'string' ? password : '');
    if (problem === null) return [];
    const message = `Invalid value: "string": ${problem}, never the password itself`;
    return [{ reason: 'FieldValueInvalid', message, field: `metadata.annotations[${PASSWORD_ANNOTATION}]` }];
  }
}
