import { IsArray, IsObject, ValidateBy, ValidateNested } from 'class-validator';
import type { SchemaClass } from './kind.js';

/** A rule in CEL that the API server evaluates. With `oldSelf` in it, it is evaluated on updates only. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
  readonly reason?: 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueRequired' | 'FieldValueDuplicate';
  readonly fieldPath?: string;
}

export type ListType = { readonly type: 'map'; readonly keys: readonly string[] } | { readonly type: 'set' } | { readonly type: 'atomic' };

/** What class-validator has no word for, of one field. */
export interface FieldFacts {
  description?: string;
  isSecret?: boolean;
  defaultValue?: string | number | boolean;
  listType?: ListType;
  nested?: () => SchemaClass;
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

export function Default(value: string | number | boolean): PropertyDecorator {
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
