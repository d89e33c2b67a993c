import { ArrayMaxSize, IsInt, IsOptional, IsString, Matches, Min, MinLength } from 'class-validator';
import { describe, expect, it } from '@jest/globals';
import { crdManifest } from './crd-manifests.js';
import { CustomObject, Kind } from './kind.js';
import { WEBSHOP } from './kind-group.js';
import { KIND_CLASSES, KINDS } from './kinds.js';
import { GROUP, TOPOLOGY_GROUP, TRIGGERS_GROUP } from './names.js';
import { openApiSchema, type OpenApiSchema } from './open-api-schema.js';
import { RegistrationRequest } from './registration-request.js';
import {
  Default,
  Describe,
  FieldRule,
  IsDuration,
  List,
  NestedList,
  NestedMap,
  Nested,
  ObjectRule,
  Secret,
  TextLength,
  ValueList,
  ValueMap,
} from './schema-facts.js';
import { User } from './user.js';

@ObjectRule({ rule: 'self.size > 1', message: 'more than one' })
class Part {
  @Describe('How many.')
  @IsInt()
  @Min(1)
  size!: number;

  @Describe('Of what.')
  @IsOptional()
  @IsString()
  @TextLength(0, 9)
  @Matches(/^a\/b$/u)
  kind?: string;
}

class Whole {
  @Describe('One part.')
  @Nested(() => Part)
  @FieldRule({ rule: 'self == oldSelf', message: 'stays' })
  part!: Part;

  @Describe('More of them.')
  @IsOptional()
  @NestedList(() => Part)
  @ArrayMaxSize(3)
  @List({ type: 'map', keys: ['kind'] })
  more?: Part[];
}

/** Every schema below one, with its path. */
function below(schema: OpenApiSchema, path: string): [string, OpenApiSchema][] {
  return [
    [path, schema],
    ...Object.entries(schema.properties ?? {}).flatMap(([name, child]) => below(child, `${path}.${name}`)),
    ...(schema.items === undefined ? [] : below(schema.items, `${path}[]`)),
    ...(schema.additionalProperties === undefined ? [] : below(schema.additionalProperties, `${path}[]`)),
  ];
}

describe('openApiSchema', () => {
  it('says what the validators of a class say', () => {
    const rule = { rule: 'self.size > 1', message: 'more than one' };
    const properties = {
      size: { type: 'integer', format: 'int64', minimum: 1, description: 'How many.' },
      kind: { type: 'string', maxLength: 9, pattern: '^a/b$', description: 'Of what.' },
    };
    expect(openApiSchema(Whole)).toEqual({
      type: 'object',
      required: ['part'],
      properties: {
        part: {
          type: 'object',
          description: 'One part.',
          required: ['size'],
          properties,
          'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'stays' }, rule],
        },
        more: {
          type: 'array',
          description: 'More of them.',
          maxItems: 3,
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['kind'],
          items: { type: 'object', required: ['size'], properties, 'x-kubernetes-validations': [rule] },
        },
      },
    });
  });

  it('has words for lists and maps of values, maps of objects, and durations', () => {
    class Settings {
      @Describe('Codes.')
      @ValueList(IsInt(), Min(400))
      @ArrayMaxSize(3)
      @List({ type: 'set' })
      codes!: number[];

      @Describe('Texts by name.')
      @ValueMap(2, IsString(), TextLength(1, 9), Matches(/^x/u))
      texts!: Record<string, string>;

      @Describe('Parts by name.')
      @IsOptional()
      @NestedMap(4, () => Part)
      parts?: Record<string, Part>;

      @Describe('How long.')
      @IsDuration('1s', '1m')
      @Default('10s')
      time!: string;
    }
    expect(openApiSchema(Settings)).toMatchObject({
      required: ['codes', 'texts'],
      properties: {
        codes: {
          type: 'array',
          items: { type: 'integer', format: 'int64', minimum: 400 },
          maxItems: 3,
          'x-kubernetes-list-type': 'set',
        },
        texts: {
          type: 'object',
          additionalProperties: { type: 'string', minLength: 1, maxLength: 9, pattern: '^x' },
          maxProperties: 2,
        },
        parts: { type: 'object', additionalProperties: { type: 'object', required: ['size'] }, maxProperties: 4 },
        time: {
          type: 'string',
          maxLength: 16,
          default: '10s',
          'x-kubernetes-validations': [
            { rule: "duration(self) >= duration('1s') && duration(self) <= duration('1m')", message: 'must be 1s to 1m' },
          ],
        },
      },
    });
  });

  it('makes the pattern of a secret a rule of the object around it', () => {
    class Holder {
      @Describe('Nobody sees it.')
      @IsOptional()
      @IsString()
      @TextLength(0, 8)
      @Matches(/^x+$/u, { message: 'must be crossed out' })
      @Secret()
      word?: string;
    }
    expect(openApiSchema(Holder)).toEqual({
      type: 'object',
      properties: { word: { type: 'string', description: 'Nobody sees it.', maxLength: 8 } },
      'x-kubernetes-validations': [
        { rule: "!has(self.word) || self.word.matches('^x+$')", message: 'must be crossed out', fieldPath: '.word' },
      ],
    });
  });

  it('refuses a field that says too little or what a schema cannot say', () => {
    class Unbounded {
      @Describe('Any length.')
      @IsString()
      text!: string;
    }
    class Undescribed {
      @IsString()
      @TextLength(0, 9)
      text!: string;
    }
    class Wordless {
      @Describe('With another bound.')
      @IsString()
      @TextLength(0, 9)
      @MinLength(3)
      text!: string;
    }
    class Endless {
      @Describe('Parts.')
      @NestedList(() => Part)
      parts!: Part[];
    }
    expect(() => openApiSchema(Unbounded)).toThrow('the field "text" of Unbounded is a text without @TextLength');
    expect(() => openApiSchema(Undescribed)).toThrow('the field "text" of Undescribed has validators and no @Describe');
    expect(() => openApiSchema(Wordless)).toThrow('the field "text" of Wordless has validators that a schema has no word for: minLength');
    expect(() => openApiSchema(Endless)).toThrow('the field "parts" of Endless is a list without @ArrayMaxSize');
  });

  it.each(KIND_CLASSES.map((kind) => ({ name: kind.name, kind })))('describes and bounds every field of $name', ({ name, kind }) => {
    for (const [path, schema] of below(openApiSchema(kind), name)) {
      if (/\.(apiVersion|kind|metadata)$/.test(path)) continue;
      if (!path.endsWith('[]')) expect([path, schema.description]).toEqual([path, expect.stringMatching(/\.$/)]);
      const bound = { string: schema.maxLength ?? schema.enum ?? schema.format, array: schema.maxItems, integer: schema.minimum };
      if (schema.type in bound) expect([path, bound[schema.type as keyof typeof bound]]).not.toEqual([path, undefined]);
    }
  });

  it('bounds a phone number by the fifteen digits of E.164 and its plus', () => {
    expect(openApiSchema(User).properties?.['spec']?.properties?.['phoneNumber']).toMatchObject({ minLength: 7, maxLength: 16 });
  });

  it('gives a password no pattern, which would be answered with the password', () => {
    const spec = openApiSchema(RegistrationRequest).properties?.['spec'];
    expect(spec?.properties?.['password']).not.toHaveProperty('pattern');
    expect(spec?.properties?.['password']).not.toHaveProperty('minLength');
    expect(spec?.['x-kubernetes-validations']).toContainEqual(expect.objectContaining({ fieldPath: '.password' }));
  });
});

const CATEGORIES: Readonly<Record<string, string>> = { [GROUP]: 'webshop', [TRIGGERS_GROUP]: 'triggers', [TOPOLOGY_GROUP]: 'topology' };

describe('crdManifest', () => {
  it('names a kind as its resource does', () => {
    for (const [index, kind] of KIND_CLASSES.entries()) {
      const resource = KINDS[index];
      expect(crdManifest(kind)).toMatchObject({
        metadata: { name: `${resource?.plural}.${resource?.group}` },
        spec: {
          group: resource?.group,
          scope: resource?.namespaced === true ? 'Namespaced' : 'Cluster',
          names: {
            kind: resource?.kind,
            plural: resource?.plural,
            categories: [CATEGORIES[String(resource?.group)]],
          },
          versions: [{ name: resource?.version, served: true, storage: true }],
        },
      });
    }
  });

  it('refuses a selectable field that is not in the schema', () => {
    @Kind({
      group: WEBSHOP,
      plural: 'things',
      singular: 'thing',
      namespaced: true,
      shortNames: [],
      description: 'A thing.',
      columns: [],
      selectable: ['spec.colour'],
      roles: { viewer: 'none', editor: 'none' },
    })
    class Thing extends CustomObject {
      @Describe('What it is.')
      @Nested(() => Part)
      spec!: Part;
    }
    expect(() => crdManifest(Thing)).toThrow('the selectable field "spec.colour" of Thing is no text, number or boolean of its schema');
  });
});
