import {
  addFinalizer,
  type AdmissionRequest,
  ALLOWED,
  finalizerCauses,
  hasFinalizer,
  invalid,
  isDeleting,
  JsonPatch,
  specCauses,
  type Verdict,
} from '@harikube/admission';
import { Tenant, TENANT_FINALIZER } from '@harikube/crds';
import { type PlatformAccounts, registrationMarkCauses } from './kept-metadata.js';

const KEPT_WARNING = 'the finalizer of the Tenant stays until it is deleted: it was put back';

/** A Tenant has its finalizer from the first moment, so that no deletion is quicker than the controller. */
export class TenantAdmission {
  readonly #accounts: PlatformAccounts;

  constructor(accounts: PlatformAccounts) {
    this.#accounts = accounts;
  }

  mutate({ operation, object, oldObject, username }: AdmissionRequest): Verdict {
    if (object === null || (operation !== 'CREATE' && operation !== 'UPDATE')) return ALLOWED;
    // Its controller knows what it does.
    if (operation === 'UPDATE' && username === this.#accounts.tenantController) return ALLOWED;
    const patch = new JsonPatch(object);
    addFinalizer(patch, TENANT_FINALIZER);
    const isPutBack = patch.operations.length > 0 && hasFinalizer(oldObject, TENANT_FINALIZER);
    return { denial: null, patch: patch.operations, warnings: isPutBack ? [KEPT_WARNING] : [] };
  }

  validate(request: AdmissionRequest): Verdict {
    const { operation, object } = request;
    if (object === null || (operation !== 'CREATE' && operation !== 'UPDATE')) return ALLOWED;
    const causes = [
      // What is on its way out is not held up by what it was.
      ...(isDeleting(object) ? [] : specCauses(Tenant, request, object)),
      ...finalizerCauses(request, TENANT_FINALIZER, this.#accounts.tenantController),
      ...registrationMarkCauses(request, this.#accounts.registrationController),
    ];
    return causes.length === 0 ? ALLOWED : invalid(request, causes);
  }
}
