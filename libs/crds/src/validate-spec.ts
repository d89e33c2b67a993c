import { type ValidationError, validateSync } from 'class-validator';
import type { CustomObject, SchemaClass } from './kind.js';
import { goPattern, messageOfPattern, validatedFields, type ValidatedField } from './open-api-schema.js';
import { codePoints, isValueClass, VALUE_FIELD } from './schema-facts.js';

/** A cause in a Kubernetes Status, with the field that it is about. */
export interface FieldError {
  /** As in `spec.user.email`; an entry of a list as in `spec.items[2].name`. */
  readonly field: string;
  /** One of Kubernetes' sentences, such as `Required value` or `Invalid value: "x": …`. */
  readonly message: string;
  readonly type:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany'
    | 'FieldValueTypeInvalid';
  /** What was there instead; not there for a missing value, a very long one, and a secret. */
  readonly value?: unknown;
}

export interface ValidateOptions {
  /** Fields that the caller judges himself, such as `spec.password` before it is hashed. What is below them is left out too. */
  readonly except?: readonly string[];
}

/** Longest value that an answer repeats. */
const MAX_SHOWN = 256;

/**
 * What the API server would refuse in the `spec` of an object, said as it would say it; empty when it would take it. Rules about the relation of
 * fields to each other, and of an object to its former self, are the API server's alone. Fields that are not in the schema are not looked at: see `unknownFields`.
 */
export function validateSpec<T extends CustomObject>(kind: SchemaClass<T>, plain: unknown, options: ValidateOptions = {}): FieldError[] {
  const instance = toInstance(kind, { spec: isRecord(plain) ? ownValue(plain, 'spec') : undefined });
  const errors = validateSync(instance, { forbidUnknownValues: true });
  const except = options.except ?? [];
  return fieldErrors(kind, errors, '').filter(
    ({ field }) => !except.some((left) => field === left || field.startsWith(`${left}.`) || field.startsWith(`${left}[`)),
  );
}

/** Paths of the fields of an object that its schema does not have, in the order of the text; `metadata` is not looked at. */
export function unknownFields<T extends CustomObject>(kind: SchemaClass<T>, plain: unknown): string[] {
  const found: string[] = [];
  collectUnknown(kind, plain, '', ['apiVersion', 'kind', 'metadata'], found);
  return found;
}

function collectUnknown(target: SchemaClass, plain: unknown, path: string, always: readonly string[], found: string[]): void {
  if (!isRecord(plain)) return;
  const fields = new Map(validatedFields(target).map((field) => [field.name, field]));
  for (const [name, value] of Object.entries(plain)) {
    const here = path === '' ? name : `${path}.${name}`;
    const field = fields.get(name);
    if (field === undefined) {
      if (!always.includes(name)) found.push(here);
      continue;
    }
    const nested = field.facts.nested?.();
    if (nested === undefined || isValueClass(nested)) continue;
    if (field.facts.mapSize !== undefined) {
      if (isRecord(value)) for (const [key, entry] of Object.entries(value)) collectUnknown(nested, entry, `${here}.${key}`, [], found);
    } else if (field.isList) {
      if (Array.isArray(value)) value.forEach((item, index) => collectUnknown(nested, item, `${here}[${index}]`, [], found));
    } else collectUnknown(nested, value, here, [], found);
  }
}

/** An instance with the values of the fields that the class has, and nothing else: what the validators see is as deep as the class. */
function toInstance(target: SchemaClass, plain: Record<string, unknown>): object {
  const instance = new target();
  for (const { name, facts, isList } of validatedFields(target)) {
    // The API server takes null for nothing.
    const value = ownValue(plain, name) ?? facts.defaultValue;
    if (value === undefined) continue;
    const nested = facts.nested?.();
    const convert = (entry: unknown): unknown => {
      if (nested === undefined) return entry;
      if (isValueClass(nested)) return Object.assign(new nested(), { [VALUE_FIELD]: entry });
      return isRecord(entry) ? toInstance(nested, entry) : entry;
    };
    Object.assign(instance, { [name]: toField(value, { isList, isMap: facts.mapSize !== undefined }, convert) });
  }
  return instance;
}

function toField(value: unknown, { isList, isMap }: { isList: boolean; isMap: boolean }, convert: (entry: unknown) => unknown): unknown {
  if (isList) return Array.isArray(value) ? value.map(convert) : value;
  // A Map, so that a key is never taken for a field.
  if (isMap) return isRecord(value) ? new Map(Object.entries(value).map(([key, entry]) => [key, convert(entry)])) : value;
  return convert(value);
}

function fieldErrors(target: SchemaClass, errors: readonly ValidationError[], path: string): FieldError[] {
  const fields = new Map(validatedFields(target).map((field) => [field.name, field]));
  return errors.flatMap((error) => {
    const field = fields.get(error.property);
    if (field === undefined) return [];
    const here = isValueClass(target) ? path : path === '' ? field.name : `${path}.${field.name}`;
    const value: unknown = error.value;
    const own = ownErrors(target, field, Object.keys(error.constraints ?? {}), value, here);
    const nested = field.facts.nested?.();
    if (nested === undefined) return own;
    const isMap = field.facts.mapSize !== undefined;
    if (!field.isList && !isMap) return [...own, ...fieldErrors(nested, error.children ?? [], here)];
    // What is no list or map at all has no entries.
    if (isMap ? !(value instanceof Map) : !Array.isArray(value)) return own;
    const ofEntries = (error.children ?? []).flatMap((child) => {
      const entry = isMap ? `${here}.${child.property}` : `${here}[${child.property}]`;
      return child.constraints === undefined
        ? fieldErrors(nested, child.children ?? [], entry)
        : [typeError(entry, 'object', child.value, field)];
    });
    return [...own, ...ofEntries];
  });
}

function ownErrors(target: SchemaClass, field: ValidatedField, failed: readonly string[], value: unknown, path: string): FieldError[] {
  if (failed.length === 0) return [];
  if (value === undefined) return [{ field: path, message: 'Required value', type: 'FieldValueRequired' }];
  const wanted = wantedType(field);
  if (typeOf(value) !== wanted && !(wanted === 'integer' && typeOf(value) === 'number' && !failed.includes('isInt')))
    return [typeError(path, wanted, value, field)];
  const invalid = (what: string): FieldError => ({
    field: path,
    message: `Invalid value: ${shown(value, field)}: ${what}`,
    type: 'FieldValueInvalid',
    ...valueOf(value, field),
  });
  // In the order in which the class names its validators, which are decorators: the last one is applied first.
  const inOrder = [...field.validators.keys()].reverse().filter((validator) => failed.includes(validator));
  return inOrder.flatMap((validator): FieldError[] => {
    const wantedBy = field.validators.get(validator) ?? [];
    switch (validator) {
      case 'textLength': {
        const [minimum, maximum] = wantedBy as [number, number];
        if (typeof value === 'string' && codePoints(value) > maximum)
          return [{ field: path, message: `Too long: may not be more than ${maximum} characters`, type: 'FieldValueTooLong' }];
        return [invalid(`should be at least ${minimum} chars long`)];
      }
      case 'matches':
        return [invalid(field.facts.isSecret === true ? messageOfPattern(target, field.name) : patternMessage(target, field))];
      case 'emailDomain':
        return [invalid('the domain of the address is none that DNS can know')];
      case 'isIn': {
        const supported = (wantedBy[0] as string[]).map((each) => JSON.stringify(each)).join(', ');
        const message = `Unsupported value: ${shown(value, field)}: supported values: ${supported}`;
        return [{ field: path, message, type: 'FieldValueNotSupported', ...valueOf(value, field) }];
      }
      case 'isTimestamp':
        return [invalid('must be a time as in RFC 3339')];
      case 'min':
        return [invalid(`should be greater than or equal to ${String(wantedBy[0])}`)];
      case 'max':
        return [invalid(`should be less than or equal to ${String(wantedBy[0])}`)];
      case 'arrayMaxSize':
      case 'mapSize': {
        const count = Array.isArray(value) ? value.length : value instanceof Map ? value.size : 0;
        return [{ field: path, message: `Too many: ${count}: must have at most ${String(wantedBy[0])} items`, type: 'FieldValueTooMany' }];
      }
      case 'duration':
        return [invalid(String(wantedBy[0]))];
      case 'arrayMinSize':
        return [invalid(`should have at least ${String(wantedBy[0])} items`)];
      // An entry of a list or a nested object that is of another type speaks for itself.
      case 'nestedValidation':
        return [];
      default:
        return [invalid(`fails ${validator}`)];
    }
  });
}

function patternMessage(target: SchemaClass, field: ValidatedField): string {
  const [pattern] = (field.validators.get('matches') ?? []) as [RegExp];
  const message = messageOfPattern(target, field.name);
  return `${message} (should match '${goPattern(pattern)}')`;
}

function typeError(path: string, wanted: string, value: unknown, field: ValidatedField): FieldError {
  const actual = JSON.stringify(typeOf(value));
  const message = `Invalid value: ${actual}: must be of type ${wanted}: ${actual}`;
  return { field: path, message, type: 'FieldValueTypeInvalid', ...valueOf(value, field) };
}

function wantedType({ isList, facts, validators }: ValidatedField): string {
  if (isList) return 'array';
  if (facts.nested !== undefined) return 'object';
  if (validators.has('isInt')) return 'integer';
  return validators.has('isBoolean') ? 'boolean' : 'string';
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function shown(value: unknown, { facts }: ValidatedField): string {
  if (facts.isSecret === true) return '"string"';
  const text = JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${[...text].slice(0, MAX_SHOWN).join('')}…` : text;
}

function valueOf(value: unknown, { facts }: ValidatedField): { value?: unknown } {
  const isShort = typeof value === 'string' ? value.length <= MAX_SHOWN : value === null || typeof value !== 'object';
  return facts.isSecret === true || !isShort ? {} : { value };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Nothing that the object only inherits. */
function ownValue(record: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
