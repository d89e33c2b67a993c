import { IsArray, IsObject, IsString, Matches, ValidateBy, ValidateNested } from 'class-validator';
import type { SchemaClass } from './kind.js';
import { GO_DURATION } from './text-patterns.js';

/** A rule in CEL that the API server evaluates. With `oldSelf` in it, it is evaluated on updates only. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
  readonly reason?: 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueRequired' | 'FieldValueDuplicate';
  readonly fieldPath?: string;
}

export type ListType = { readonly type: 'map'; readonly keys: readonly string[] } | { readonly type: 'set' } | { readonly type: 'atomic' };

/** `{}`: an object of which every field has its own default. */
export type DefaultValue = string | number | boolean | readonly (string | number)[] | Readonly<Record<string, never>>;

/** What class-validator has no word for, of one field. */
export interface FieldFacts {
  description?: string;
  isSecret?: boolean;
  defaultValue?: DefaultValue;
  listType?: ListType;
  /** The class of the field's object, or of each entry of a list or a map. */
  nested?: () => SchemaClass;
  /** Most entries of a map, whose keys are the writer's choice. */
  mapSize?: number;
  rules: CelRule[];
}

export interface ClassFacts {
  readonly rules: CelRule[];
  /** In the order in which the class declares them. */
  readonly fields: Map<string, FieldFacts>;
}

const facts = new Map<object, ClassFacts>();

export function factsOf(target: object): ClassFacts {
  let known = facts.get(target);
  if (known === undefined) facts.set(target, (known = { rules: [], fields: new Map() }));
  return known;
}

function fieldDecorator(change: (field: FieldFacts) => void): PropertyDecorator {
  return (prototype, name) => {
    const { fields } = factsOf(prototype.constructor);
    let field = fields.get(String(name));
    if (field === undefined) fields.set(String(name), (field = { rules: [] }));
    change(field);
  };
}

/** What the field is for, as `kubectl explain` shows it. Every field has one. */
export function Describe(description: string): PropertyDecorator {
  return fieldDecorator((field) => (field.description = description));
}

/** The value appears in no message. */
export function Secret(): PropertyDecorator {
  return fieldDecorator((field) => (field.isSecret = true));
}

/** What stands for an absent value. A field that has one is never required. */
export function Default(value: DefaultValue): PropertyDecorator {
  return fieldDecorator((field) => (field.defaultValue = value));
}

/** How lists are merged by server-side apply. */
export function List(listType: ListType): PropertyDecorator {
  return fieldDecorator((field) => (field.listType = listType));
}

/** A CEL rule on the value of a field. */
export function FieldRule(rule: CelRule): PropertyDecorator {
  return fieldDecorator((field) => field.rules.unshift(rule));
}

/** A CEL rule on the objects of a class. */
export function ObjectRule(rule: CelRule): ClassDecorator {
  return (target) => {
    factsOf(target).rules.unshift(rule);
  };
}

/** An object of another class. */
export function Nested(nested: () => SchemaClass): PropertyDecorator {
  return composed(
    IsObject(),
    ValidateNested(),
    fieldDecorator((field) => (field.nested = nested)),
  );
}

/** A list of objects of another class. */
export function NestedList(nested: () => SchemaClass): PropertyDecorator {
  return composed(
    IsArray(),
    ValidateNested({ each: true }),
    fieldDecorator((field) => (field.nested = nested)),
  );
}

/** A list of texts or numbers, each of which these validators are for. */
export function ValueList(...validators: PropertyDecorator[]): PropertyDecorator {
  return NestedList(valueClass(validators));
}

/** A map from texts of the writer's choice to texts, each of which these validators are for. */
export function ValueMap(most: number, ...validators: PropertyDecorator[]): PropertyDecorator {
  return NestedMap(most, valueClass(validators));
}

/** A map from texts of the writer's choice to objects of another class. */
export function NestedMap(most: number, nested: () => SchemaClass): PropertyDecorator {
  return composed(
    IsObject(),
    ValidateNested({ each: true }),
    ValidateBy({
      name: 'mapSize',
      constraints: [most],
      validator: { validate: (value) => !(value instanceof Map) || value.size <= most },
    }),
    fieldDecorator((field) => Object.assign(field, { nested, mapSize: most })),
  );
}

/** The one field of a class that stands for a text or a number among others. */
export const VALUE_FIELD = 'value';

const valueClasses = new WeakSet<SchemaClass>();

function valueClass(validators: readonly PropertyDecorator[]): () => SchemaClass {
  class Value {
    [VALUE_FIELD]: unknown;
  }
  composed(Describe('One of them.'), ...validators)(Value.prototype, VALUE_FIELD);
  valueClasses.add(Value);
  return () => Value;
}

export function isValueClass(target: SchemaClass): boolean {
  return valueClasses.has(target);
}

/** A duration as Go writes it, within bounds that are written so too. */
export function IsDuration(least: string, most: string): PropertyDecorator {
  const message = `must be ${least} to ${most}`;
  return composed(
    IsString(),
    TextLength(2, 16),
    Matches(GO_DURATION, { message: 'must be a duration such as 500ms, 10s or 1m30s' }),
    ValidateBy({
      name: 'duration',
      constraints: [message],
      validator: {
        // One that is no duration is refused for that.
        validate: (value) =>
          typeof value !== 'string' ||
          !GO_DURATION.test(value) ||
          (milliseconds(value) >= milliseconds(least) && milliseconds(value) <= milliseconds(most)),
      },
    }),
    FieldRule({ rule: `duration(self) >= duration('${least}') && duration(self) <= duration('${most}')`, message }),
  );
}

const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function milliseconds(duration: string): number {
  return [...duration.matchAll(/([0-9.]+)([a-zµ]+)/gu)].reduce(
    (sum, [, count, unit = '']) => sum + Number(count) * (UNIT_MS[unit] ?? NaN),
    0,
  );
}

/**
 * Bounds on the length of a text, counted in code points as the API server does. (class-validator's own `Length` does not count variation
 * selectors, so that it accepts what the API server refuses.)
 */
export function TextLength(minimum: number, maximum: number): PropertyDecorator {
  return ValidateBy({
    name: 'textLength',
    constraints: [minimum, maximum],
    validator: {
      validate: (value) => {
        if (typeof value !== 'string') return false;
        const length = codePoints(value);
        return length >= minimum && length <= maximum;
      },
    },
  });
}

/** A moment in RFC 3339, as Kubernetes writes it. */
export function IsTimestamp(): PropertyDecorator {
  return ValidateBy({
    name: 'isTimestamp',
    validator: { validate: (value) => typeof value === 'string' && RFC3339.test(value) && !Number.isNaN(Date.parse(value)) },
  });
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;

export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** One decorator in place of several, which are applied as if each stood on a line of its own. */
export function composed(...decorators: PropertyDecorator[]): PropertyDecorator {
  return (prototype, name) => {
    for (const decorate of decorators.toReversed()) decorate(prototype, name);
  };
}
