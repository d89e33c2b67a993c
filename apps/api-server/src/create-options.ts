import { type Fault, invalid } from './status-answer.js';

export type FieldValidation = 'Ignore' | 'Strict' | 'Warn';

/** What the query of a create says. */
export interface CreateOptions {
  readonly isDryRun: boolean;
  readonly fieldValidation: FieldValidation;
  readonly fieldManager: string;
}

const FIELD_VALIDATIONS: readonly FieldValidation[] = ['Ignore', 'Strict', 'Warn'];
const MAX_MANAGER_BYTES = 128;

/** Throws 422 with everything that is wrong. Without a manager it is the program that asks, as it calls itself. */
export function createOptions(query: URLSearchParams, userAgent: string | undefined): CreateOptions {
  const faults: Fault[] = [];
  const dryRun = query.getAll('dryRun').filter((value) => value !== '');
  if (dryRun.some((value) => value !== 'All')) faults.push(unsupported('dryRun', dryRun.find((value) => value !== 'All') ?? '', ['All']));
  const validation = query.get('fieldValidation') ?? '';
  const fieldValidation = validation === '' ? 'Warn' : FIELD_VALIDATIONS.find((known) => known === validation);
  if (fieldValidation === undefined) faults.push(unsupported('fieldValidation', validation, FIELD_VALIDATIONS));
  const given = query.get('fieldManager') ?? '';
  if (Buffer.byteLength(given) > MAX_MANAGER_BYTES)
    faults.push({
      field: 'fieldManager',
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${MAX_MANAGER_BYTES} bytes`,
    });
  else if (/\p{C}/u.test(given))
    faults.push({
      field: 'fieldManager',
      reason: 'FieldValueInvalid',
      message: `Invalid value: ${JSON.stringify(given)}: should only contain printable characters`,
    });
  if (faults.length > 0) throw invalid('', faults, 'CreateOptions.meta.k8s.io');
  return {
    isDryRun: dryRun.length > 0,
    fieldValidation: fieldValidation ?? 'Warn',
    fieldManager: given === '' ? managerOf(userAgent) : given,
  };
}

function unsupported(field: string, value: string, supported: readonly string[]): Fault {
  const list = supported.map((each) => JSON.stringify(each)).join(', ');
  return { field, reason: 'FieldValueNotSupported', message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}` };
}

function managerOf(userAgent = ''): string {
  const program = (userAgent.split('/')[0] ?? '').replace(/\p{C}/gu, '');
  return Buffer.byteLength(program) > MAX_MANAGER_BYTES || program === '' ? 'unknown' : program;
}
