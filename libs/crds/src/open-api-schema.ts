import { getMetadataStorage } from 'class-validator';
import { CustomObject, kindOptions, type SchemaClass } from './kind.js';
import { type CelRule, type DefaultValue, factsOf, type FieldFacts, isValueClass } from './schema-facts.js';

/** A structural OpenAPI v3 schema, as a CustomResourceDefinition and an OpenAPI document take it. */
export interface OpenApiSchema {
  type: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  description?: string;
  format?: string;
  default?: DefaultValue;
  enum?: string[];
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  required?: string[];
  properties?: Record<string, OpenApiSchema>;
  items?: OpenApiSchema;
  additionalProperties?: OpenApiSchema;
  'x-kubernetes-list-type'?: 'map' | 'set' | 'atomic';
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-validations'?: CelRule[];
}

/** What every object of Kubernetes begins with. */
const OBJECT_PROPERTIES: Readonly<Record<string, OpenApiSchema>> = {
  apiVersion: { type: 'string', description: 'The group and version of the kind.' },
  kind: { type: 'string', description: 'The kind of the object.' },
  metadata: { type: 'object' },
};

/**
 * The schema that says what the validators of a class say. Throws, naming the field, when they say too little (a field without a bound costs CEL
 * its budget, one without a description costs the reader his time) or something that a schema has no word for.
 */
export function openApiSchema(target: SchemaClass): OpenApiSchema {
  const properties: Record<string, OpenApiSchema> = {};
  const required: string[] = [];
  if (target.prototype instanceof CustomObject) Object.assign(properties, structuredClone(OBJECT_PROPERTIES));
  for (const field of validatedFields(target)) {
    properties[field.name] = fieldSchema(target, field);
    if (!field.isOptional && field.facts.defaultValue === undefined) required.push(field.name);
  }
  const rules = [...factsOf(target).rules, ...validatedFields(target).flatMap((field) => secretRules(target, field))];
  const description = kindOptions(target)?.description;
  return {
    type: 'object',
    ...(description === undefined ? {} : { description }),
    ...(required.length > 0 ? { required } : {}),
    ...(Object.keys(properties).length > 0 ? { properties } : {}),
    ...(rules.length > 0 ? { 'x-kubernetes-validations': rules.map((rule) => ({ ...rule })) } : {}),
  };
}

export interface ValidatedField {
  readonly name: string;
  readonly facts: FieldFacts;
  readonly isOptional: boolean;
  readonly isList: boolean;
  /** class-validator's own name of a validator, and its arguments. */
  readonly validators: ReadonlyMap<string, readonly unknown[]>;
}

/** The fields of a class in the order in which it declares them. */
export function validatedFields(target: SchemaClass): ValidatedField[] {
  const validators = new Map<string, Map<string, readonly unknown[]>>();
  const optional = new Set<string>();
  for (const metadata of getMetadataStorage().getTargetValidationMetadatas(target, '', true, false)) {
    const { propertyName: field } = metadata;
    if (metadata.name === 'isOptional') {
      optional.add(field);
      continue;
    }
    let known = validators.get(field);
    if (known === undefined) validators.set(field, (known = new Map<string, readonly unknown[]>()));
    known.set(metadata.name ?? metadata.type, (metadata.constraints as unknown[] | undefined) ?? []);
  }
  const { fields } = factsOf(target);
  for (const name of validators.keys()) {
    if (!fields.has(name)) throw new SchemaError(target, name, 'has validators and no @Describe');
  }
  return [...fields].map(([name, facts]) => {
    const ofField = validators.get(name) ?? new Map<string, readonly unknown[]>();
    return { name, facts, isOptional: optional.has(name), isList: ofField.has('isArray'), validators: ofField };
  });
}

class SchemaError extends Error {
  constructor(target: SchemaClass, field: string, what: string) {
    super(`the field "${field}" of ${target.name} ${what}`);
    this.name = 'SchemaError';
  }
}

function fieldSchema(target: SchemaClass, { name, facts, isList, validators }: ValidatedField): OpenApiSchema {
  const refuse = (what: string): never => {
    throw new SchemaError(target, name, what);
  };
  const known = new Map(validators);
  /** The arguments of a validator, which is then accounted for. */
  const take = (validator: string): readonly unknown[] | undefined => {
    const found = known.get(validator);
    known.delete(validator);
    return found;
  };
  const takeNumber = (validator: string): number | undefined => take(validator)?.[0] as number | undefined;

  let schema: OpenApiSchema;
  const values = take('isIn')?.[0] as string[] | undefined;
  take('nestedValidation');
  take('isObject');
  take('isArray');
  if (facts.nested !== undefined) {
    const nested = entrySchema(facts.nested());
    if (facts.mapSize !== undefined) {
      take('mapSize');
      schema = { type: 'object', additionalProperties: nested, maxProperties: facts.mapSize };
    } else if (isList) {
      schema = { type: 'array', items: nested };
      setDefined(schema, { minItems: takeNumber('arrayMinSize'), maxItems: takeNumber('arrayMaxSize') });
      if (schema.maxItems === undefined) refuse('is a list without @ArrayMaxSize');
      if (facts.listType === undefined) refuse('is a list without @List, which says how it is merged');
    } else schema = nested;
  } else if (values !== undefined) {
    schema = { type: 'string', enum: [...values] };
  } else if (take('isInt') !== undefined) {
    schema = { type: 'integer', format: 'int64' };
    setDefined(schema, { minimum: takeNumber('min'), maximum: takeNumber('max') });
    if (schema.minimum === undefined) refuse('is a number without @Min');
  } else if (take('isBoolean') !== undefined) {
    schema = { type: 'boolean' };
  } else if (take('isTimestamp') !== undefined) {
    schema = { type: 'string', format: 'date-time' };
  } else if (take('isString') !== undefined) {
    // No `format`: kube-apiserver takes a list for a text that has one, and looks at neither pattern nor length then.
    schema = { type: 'string' };
    const bounds = (take('textLength') ?? refuse('is a text without @TextLength')) as [number, number];
    if (bounds[0] > 0) schema.minLength = bounds[0];
    schema.maxLength = bounds[1];
    const pattern = take('matches')?.[0] as RegExp | undefined;
    if (pattern !== undefined) {
      if (facts.isSecret !== true) schema.pattern = goPattern(pattern);
      else if (bounds[0] > 0) refuse('is secret, and its least length would be refused with the value: leave that to the pattern');
    }
    take('emailDomain');
    take('duration');
  } else return refuse('has no validator that says its type');

  if (known.size > 0) refuse(`has validators that a schema has no word for: ${[...known.keys()].join(', ')}`);
  const { description, defaultValue, listType, rules } = facts;
  if (description === undefined) refuse('has no @Describe');
  // What it is comes before its bounds and before what is below it.
  schema = Object.assign({ type: schema.type, description }, schema, { description });
  setDefined(schema, { default: defaultValue });
  if (listType !== undefined) {
    schema['x-kubernetes-list-type'] = listType.type;
    if (listType.type === 'map') schema['x-kubernetes-list-map-keys'] = [...listType.keys];
  }
  // A nested object has the rules of its class too.
  const all = [...rules.map((rule) => ({ ...rule })), ...(schema['x-kubernetes-validations'] ?? [])];
  if (all.length > 0) schema['x-kubernetes-validations'] = all;
  return schema;
}

/** An entry of a list or a map is described where the list or map is. */
function entrySchema(target: SchemaClass): OpenApiSchema {
  if (!isValueClass(target)) return openApiSchema(target);
  const [field] = validatedFields(target);
  if (field === undefined) throw new SchemaError(target, 'value', 'is not there');
  const { description: _, ...schema } = fieldSchema(target, field);
  return schema;
}

/**
 * The pattern of a secret as a rule of the object that holds it: the API server's answer repeats the text that a pattern, or a rule of the text
 * itself, refuses, and never an object.
 */
function secretRules(target: SchemaClass, { name, facts, isOptional, validators }: ValidatedField): CelRule[] {
  const pattern = validators.get('matches')?.[0] as RegExp | undefined;
  if (facts.isSecret !== true || pattern === undefined) return [];
  const source = goPattern(pattern);
  if (source.includes("'") || source.includes('\\'))
    throw new SchemaError(target, name, 'is secret and its pattern has a quote or a backslash');
  const rule = `${isOptional ? `!has(self.${name}) || ` : ''}self.${name}.matches('${source}')`;
  return [{ rule, message: messageOfPattern(target, name), fieldPath: `.${name}` }];
}

/** The `message` given with `@Matches`. */
export function messageOfPattern(target: SchemaClass, field: string): string {
  const metadata = getMetadataStorage()
    .getTargetValidationMetadatas(target, '', true, false)
    .find(({ propertyName, name }) => propertyName === field && name === 'matches');
  const message = metadata?.message;
  return typeof message === 'string' ? message : 'does not have the form that is wanted';
}

/** As Go's RE2 writes it. */
export function goPattern(pattern: RegExp): string {
  return pattern.source.replaceAll('\\/', '/');
}

function setDefined(schema: OpenApiSchema, fields: Partial<OpenApiSchema>): void {
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) Object.assign(schema, { [name]: value });
  }
}
