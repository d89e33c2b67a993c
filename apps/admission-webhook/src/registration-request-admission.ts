import {
  addFinalizer,
  type AdmissionRequest,
  ALLOWED,
  type Cause,
  denied,
  failed,
  finalizerCauses,
  hasFinalizer,
  invalid,
  type JsonObject,
  JsonPatch,
  specCauses,
  textAt,
  valueAt,
  type Verdict,
} from '@harikube/admission';
import { claimName, REGISTRATION_FINALIZER, RegistrationRequest } from '@harikube/crds';
import type { PlatformAccounts } from './kept-metadata.js';
import { LAST_APPLIED_ANNOTATION, withoutPassword } from './last-applied.js';
import { type HashBounds, isMeantAsHash } from './password-hash.js';
import { type PasswordHasher, TooManyPasswordsError } from './password-hasher.js';
import { passwordProblem } from './password-policy.js';

export interface RegistrationRequestAdmissionOptions {
  readonly accounts: PlatformAccounts;
  readonly bounds: HashBounds;
  readonly hasher: PasswordHasher;
  /** Whether a claim of this name is known. False where nothing is known: the claim itself, created by the controller, is what keeps an address unique. */
  readonly isClaimed: (claimName: string) => boolean;
}

const PASSWORD = ['spec', 'password'];
const COMPANY = ['spec', 'tenant', 'companyName'];
const MOST_COMPANY_CHARACTERS = 250;
const LAST_APPLIED = ['metadata', 'annotations', LAST_APPLIED_ANNOTATION];

const SCRUBBED_WARNING = 'kubectl apply repeats the password in an annotation: it was replaced by the hash there, too';
const DROPPED_WARNING = 'the last-applied annotation of kubectl was removed: the password cannot be told apart in it';

/**
 * The password is judged and hashed here and nowhere else: what is stored, shown to other webhooks and validated is the hash.
 *
 * A hash in place of the password is taken as it is, when it is within `HashBounds`. It comes from who applies or restores an object that was
 * hashed already, and from this webhook itself, which is asked again when another one has changed the object; nothing in a request tells them apart.
 * It gives nobody more than the password would: to log in takes the password. Only the people behind the aggregated API, whom its account stands
 * for, cannot send one, since they would pass by the policy; the finalizer tells their first pass from the following, since that API lets them
 * send no metadata but a name.
 */
export class RegistrationRequestAdmission {
  readonly #options: RegistrationRequestAdmissionOptions;

  constructor(options: RegistrationRequestAdmissionOptions) {
    this.#options = options;
  }

  async mutate(request: AdmissionRequest, signal: AbortSignal): Promise<Verdict> {
    const { operation, object } = request;
    if (object === null) return ALLOWED;
    if (operation === 'CREATE') return this.#mutateNew(request, object, signal);
    return operation === 'UPDATE' ? this.#mutateChanged(request, object) : ALLOWED;
  }

  validate(request: AdmissionRequest): Verdict {
    const { operation, object } = request;
    if (object === null || (operation !== 'CREATE' && operation !== 'UPDATE')) return ALLOWED;
    const causes = [
      ...specCauses(RegistrationRequest, request, object, { except: ['spec.password'] }),
      ...this.#storedPasswordCauses(request, object),
      ...finalizerCauses(request, REGISTRATION_FINALIZER, this.#options.accounts.registrationController),
    ];
    return causes.length === 0 ? ALLOWED : invalid(request, causes);
  }

  async #mutateNew(request: AdmissionRequest, object: JsonObject, signal: AbortSignal): Promise<Verdict> {
    const patch = new JsonPatch(object);
    setCompanyName(patch);
    const causes = [
      ...specCauses(RegistrationRequest, request, patch.result, { except: ['spec.password'] }),
      ...this.#sentPasswordCauses(request, object),
    ];
    const password = textAt(object, PASSWORD);
    const email = textAt(object, ['spec', 'user', 'email']);
    if (causes.length > 0 || password === undefined || email === undefined) return invalid(request, causes);
    if (this.#options.isClaimed(claimName(email))) return alreadyRegistered(request);
    const isPlain = !isMeantAsHash(password);
    const hash = isPlain ? await this.#hash(password, signal) : password;
    if (typeof hash !== 'string') return hash;
    patch.set(PASSWORD, hash);
    const warnings = this.#scrub(patch, hash, isPlain ? password : undefined);
    addFinalizer(patch, REGISTRATION_FINALIZER);
    return { denial: null, patch: patch.operations, warnings };
  }

  /** The spec cannot be changed, so that nothing is to be hashed; the annotation is written by other commands than `apply`, too. */
  #mutateChanged(request: AdmissionRequest, object: JsonObject): Verdict {
    const causes = this.#storedPasswordCauses(request, object);
    if (causes.length > 0) return invalid(request, causes);
    const patch = new JsonPatch(object);
    const warnings = this.#scrub(patch, textAt(object, PASSWORD) ?? '');
    if (hasFinalizer(request.oldObject, REGISTRATION_FINALIZER) && request.username !== this.#options.accounts.registrationController)
      addFinalizer(patch, REGISTRATION_FINALIZER);
    return { denial: null, patch: patch.operations, warnings };
  }

  async #hash(password: string, signal: AbortSignal): Promise<string | Verdict> {
    try {
      return await this.#options.hasher.hash(password, signal);
    } catch (error) {
      if (error instanceof TooManyPasswordsError) {
        const { retryAfterSeconds } = error;
        const message = 'too many registrations at once; try again later';
        return denied({ code: 429, reason: 'TooManyRequests', message, details: { retryAfterSeconds } });
      }
      if (signal.aborted) return failed(504, 'Timeout', 'too many registrations at once; the password was not hashed in time');
      throw error;
    }
  }

  #scrub(patch: JsonPatch, hash: string, plain?: string): string[] {
    const before = textAt(patch.result, LAST_APPLIED);
    if (before === undefined) return [];
    const isHash = (text: string): boolean => this.#options.bounds.problemOf(text) === null;
    // Stored before there was this webhook: nothing that may stand in the annotation.
    const after = isHash(hash) ? withoutPassword(before, { hash, plain, isHash }) : null;
    if (after === null) patch.remove(LAST_APPLIED);
    else patch.set(LAST_APPLIED, after);
    return after === null ? [DROPPED_WARNING] : after === before ? [] : [SCRUBBED_WARNING];
  }

  #sentPasswordCauses(request: AdmissionRequest, object: JsonObject): Cause[] {
    const { accounts, bounds } = this.#options;
    const password = valueAt(object, PASSWORD) ?? undefined;
    if (typeof password !== 'string') return [notTextCause(password)];
    if (!isMeantAsHash(password)) return passwordCauses(passwordProblem(password));
    if (request.username === accounts.apiServer && !hasFinalizer(object, REGISTRATION_FINALIZER))
      return passwordCauses('must be the password itself and not a hash of it');
    return passwordCauses(bounds.problemOf(password));
  }

  /** Of an object that the mutating webhook has seen; where that was not asked, nothing plain gets past this. */
  #storedPasswordCauses({ operation, oldObject }: AdmissionRequest, object: JsonObject): Cause[] {
    const password = valueAt(object, PASSWORD) ?? undefined;
    const before = valueAt(oldObject, PASSWORD) ?? undefined;
    if (operation === 'UPDATE' && password === before) return [];
    if (operation === 'UPDATE' && before !== undefined)
      return [
        { reason: 'FieldValueForbidden', message: 'Forbidden: the password of a registration cannot be changed', field: 'spec.password' },
      ];
    return typeof password === 'string' ? passwordCauses(this.#options.bounds.problemOf(password)) : [notTextCause(password)];
  }
}

function setCompanyName(patch: JsonPatch): void {
  const name = valueAt(patch.result, COMPANY) ?? '';
  const firstName = textAt(patch.result, ['spec', 'user', 'firstName']);
  const lastName = textAt(patch.result, ['spec', 'user', 'lastName']);
  if (name !== '' || firstName === undefined || lastName === undefined) return;
  if (valueAt(patch.result, ['spec', 'tenant']) === undefined) return;
  const person = `${firstName} ${lastName}`;
  // Two names of the greatest length are together longer than the name of a company may be; it is optional.
  if ([...person].length <= MOST_COMPANY_CHARACTERS) patch.set(COMPANY, person);
}

function passwordCauses(problem: string | null): Cause[] {
  // As the API server shows a value that it keeps to itself.
  const message = `Invalid value: "string": ${problem ?? ''}`;
  return problem === null ? [] : [{ reason: 'FieldValueInvalid', message, field: 'spec.password' }];
}

function notTextCause(value: unknown): Cause {
  return value === undefined
    ? { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.password' }
    : { reason: 'FieldValueTypeInvalid', message: 'Invalid value: must be of type string', field: 'spec.password' };
}

/** Without a word on the other registration. `AlreadyExists` would be taken for an object of this name, which clients then go and read. */
function alreadyRegistered({ kind, name }: AdmissionRequest): Verdict {
  const cause = { reason: 'FieldValueDuplicate', message: 'Duplicate value: the address is registered already', field: 'spec.user.email' };
  return denied({
    code: 409,
    reason: 'Conflict',
    message: 'a registration with this e-mail address exists already',
    details: { ...(name === '' ? {} : { name }), group: kind.group, kind: kind.kind, causes: [cause] },
  });
}
