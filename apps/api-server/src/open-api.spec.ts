import { describe, expect, it } from '@jest/globals';
import type { JsonSchema } from './json-schema.js';
import { OPEN_API_INDEX, OPEN_API_V2, OPEN_API_V3, openApiForPage, REGISTRATION_SCHEMA, schemas } from './open-api.js';

interface Document {
  readonly paths: Record<string, Record<string, Record<string, unknown>>>;
  readonly definitions?: Record<string, JsonSchema>;
  readonly components?: { readonly schemas: Record<string, JsonSchema> };
  readonly servers?: unknown;
}

const v2 = JSON.parse(OPEN_API_V2.text) as Document;
const v3 = JSON.parse(OPEN_API_V3.text) as Document;

function each(schema: JsonSchema, path: string, visit: (schema: JsonSchema, path: string) => void): void {
  visit(schema, path);
  for (const [name, below] of Object.entries(schema.properties ?? {})) each(below, `${path}.${name}`, visit);
  if (schema.items !== undefined) each(schema.items, `${path}[]`, visit);
}

describe('the OpenAPI documents', () => {
  it('describe every field, with a type or the schema that has it', () => {
    const lacking: string[] = [];
    each(schemas()[REGISTRATION_SCHEMA] ?? {}, '', (schema, path) => {
      if (schema.description === undefined || (schema.type === undefined && schema.allOf === undefined)) lacking.push(path);
    });
    expect(lacking).toEqual([]);
  });

  it('refer to nothing that is not in them', () => {
    for (const [document, known, prefix] of [
      [OPEN_API_V2.text, v2.definitions, '#/definitions/'],
      [OPEN_API_V3.text, v3.components?.schemas, '#/components/schemas/'],
    ] as const) {
      const references = [...document.matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference = '']) => reference);
      expect(references.length).toBeGreaterThan(3);
      expect(
        references.filter((reference) => !reference.startsWith(prefix) || known?.[reference.slice(prefix.length)] === undefined),
      ).toEqual([]);
    }
  });

  it('name the kind at its schema in a list, and at each operation as an object', () => {
    const kind = { group: 'api.product.webshop.harikube.info', version: 'v1', kind: 'Registration' };
    expect(REGISTRATION_SCHEMA).toBe('info.harikube.webshop.product.api.v1.Registration');
    for (const schema of [v2.definitions?.[REGISTRATION_SCHEMA], v3.components?.schemas[REGISTRATION_SCHEMA]])
      expect(schema?.['x-kubernetes-group-version-kind']).toEqual([kind]);
    for (const document of [v2, v3]) {
      for (const item of Object.values(document.paths))
        expect(item['post']).toMatchObject({ 'x-kubernetes-group-version-kind': kind, 'x-kubernetes-action': 'post' });
    }
  });

  it('say what the password is when it is sent, and nothing about its hash', () => {
    const spec = v3.components?.schemas[REGISTRATION_SCHEMA]?.properties?.['spec'];
    expect(spec?.properties?.['password']).toMatchObject({ format: 'password', minLength: 8, maxLength: 64 });
    expect(OPEN_API_V3.text).not.toContain('x-kubernetes-validations');
    expect(spec?.['required']).toEqual(['user', 'password', 'tenant']);
  });

  it('have a PATCH for kubectl, which nobody is shown', () => {
    const path = '/apis/api.product.webshop.harikube.info/v1/registrations/{name}';
    expect(v3.paths[path]?.['patch']).toMatchObject({ responses: { 405: {} } });
    const page = JSON.parse(openApiForPage('../').text) as Document;
    expect(page.paths[path]).not.toHaveProperty('patch');
    expect(page.servers).toEqual([{ url: '../' }]);
  });

  it('are found by an address that changes with them', () => {
    expect(JSON.parse(OPEN_API_INDEX.text)).toEqual({
      paths: {
        'apis/api.product.webshop.harikube.info/v1': {
          serverRelativeURL: `/openapi/v3/apis/api.product.webshop.harikube.info/v1?hash=${OPEN_API_V3.hash}`,
        },
      },
    });
  });
});
