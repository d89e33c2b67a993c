/** A page for each kind, made of its CustomResourceDefinition, and a page that lists them: `docs/crds`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crdFiles } from '@harikube/crds';
import { parse } from 'yaml';

/** The folder of the pages. */
export const CRD_PAGES = fileURLToPath(new URL('../../../docs/crds/', import.meta.url));

const NOTE = '<!-- Generated from libs/crds/gen by `npm run generate`: change the class of the kind, not this page. -->';

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly format?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message?: string }[];
}

interface Version {
  readonly name: string;
  readonly subresources?: object;
  readonly schema: { readonly openAPIV3Schema: Schema };
  readonly additionalPrinterColumns: readonly { readonly name: string; readonly description: string; readonly priority?: number }[];
  readonly selectableFields?: readonly { readonly jsonPath: string }[];
}

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly scope: string;
    readonly names: {
      readonly kind: string;
      readonly plural: string;
      readonly shortNames: readonly string[];
      readonly categories: readonly string[];
    };
    readonly versions: readonly [Version];
  };
}

/** Each page by its path, with its text as oxfmt leaves it. */
export async function crdPages(): Promise<Map<string, string>> {
  const definitions = await Promise.all(crdFiles().map(async (file) => parse(await readFile(file, 'utf8')) as Definition));
  return new Map([
    ...definitions.map((definition): [string, string] => [join(CRD_PAGES, `${definition.spec.names.plural}.md`), pageOf(definition)]),
    [join(CRD_PAGES, 'README.md'), listOf(definitions)],
  ]);
}

function listOf(definitions: readonly Definition[]): string {
  const lines = definitions.map(({ spec: { group, names, versions } }) => {
    const [{ schema }] = versions;
    return `- [${names.kind}](${names.plural}.md), \`${group}\`: ${schema.openAPIV3Schema.description ?? ''}`;
  });
  return `${['# Kinds', NOTE, lines.join('\n')].join('\n\n')}\n`;
}

function pageOf({ metadata, spec: { scope, names, group, versions } }: Definition): string {
  const [{ name, schema, subresources, additionalPrinterColumns, selectableFields = [] }] = versions;
  const { openAPIV3Schema } = schema;
  const facts = [
    `- \`apiVersion: ${group}/${name}\`, \`kind: ${names.kind}\``,
    `- CustomResourceDefinition: \`${metadata.name}\``,
    `- ${scope === 'Namespaced' ? 'In a namespace' : 'Cluster-wide'}`,
    `- Short names: ${codes(names.shortNames)}; category: ${codes(names.categories)}`,
    ...(selectableFields.length === 0
      ? []
      : [`- Fields for \`--field-selector\`: ${codes(selectableFields.map(({ jsonPath }) => jsonPath.slice(1)))}`]),
    ...(subresources === undefined ? [] : ['- The status is a subresource: it is written by itself']),
  ];
  const columns = additionalPrinterColumns.map(
    ({ name: column, description, priority = 0 }) => `- ${column}${priority > 0 ? ' (`-o wide`)' : ''}: ${description}`,
  );
  const { spec, status, ...others } = openAPIV3Schema.properties ?? {};
  const sections = [
    ...(spec === undefined ? [] : ['## spec', spec.description ?? '', fieldsOf(spec, 'spec').join('\n')]),
    ...(status === undefined ? [] : ['## status', status.description ?? '', fieldsOf(status, 'status').join('\n')]),
    ...Object.entries(others)
      .filter(([key]) => !['apiVersion', 'kind', 'metadata'].includes(key))
      .flatMap(([key, field]) => [`## ${key}`, fieldLines(field, key, false).join('\n')]),
  ];
  const text = [
    `# ${names.kind}`,
    NOTE,
    openAPIV3Schema.description ?? '',
    facts.join('\n'),
    '## Columns',
    columns.join('\n'),
    ...sections,
  ];
  return `${text.filter((part) => part !== '').join('\n\n')}\n`;
}

/** The lines of what an object holds, deeper ones behind it. */
function fieldsOf({ properties = {}, required = [] }: Schema, path: string): string[] {
  return Object.entries(properties).flatMap(([name, field]) => fieldLines(field, `${path}.${name}`, required.includes(name)));
}

function fieldLines(schema: Schema, path: string, isRequired: boolean): string[] {
  const { type = 'any', format, description, items, additionalProperties } = schema;
  const kind = [type, ...(format === undefined ? [] : [format]), ...(isRequired ? ['required'] : [])].join(', ');
  const own = [
    `- \`${path}\` (${kind})${description === undefined ? '' : `: ${description}`}`,
    ...rulesOf(schema).map((rule) => `  - ${rule}`),
  ];
  const below = items ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined);
  if (below === undefined) return [...own, ...fieldsOf(schema, path)];
  const place = `${path}[${items === undefined ? 'KEY' : ''}]`;
  return [...own, ...(below.properties === undefined ? itemLines(below, place) : [...itemRules(below, place), ...fieldsOf(below, place)])];
}

function itemLines(schema: Schema, place: string): string[] {
  return rulesOf(schema).length === 0 && schema.description === undefined && schema.items === undefined
    ? []
    : fieldLines(schema, place, false);
}

function itemRules(schema: Schema, place: string): string[] {
  const rules = rulesOf(schema);
  return rules.length === 0 ? [] : [`- \`${place}\` (${schema.type ?? 'any'})`, ...rules.map((rule) => `  - ${rule}`)];
}

function rulesOf(schema: Schema): string[] {
  const { minLength, maxLength, minimum, maximum, minItems, maxItems, maxProperties, pattern } = schema;
  return [
    ...(schema.default === undefined ? [] : [`default: ${code(JSON.stringify(schema.default))}`]),
    ...(schema.enum === undefined ? [] : [`one of ${codes(schema.enum.map((each) => JSON.stringify(each)))}`]),
    ...span(minLength, maxLength, 'characters'),
    ...span(minimum, maximum, ''),
    ...span(minItems, maxItems, 'items'),
    ...span(undefined, maxProperties, 'keys'),
    ...(pattern === undefined ? [] : [`pattern: ${code(pattern)}`]),
    ...(schema['x-kubernetes-validations'] ?? []).map(({ rule, message }) =>
      message === undefined ? `rule: ${code(rule)}` : `refused with: ${message}`,
    ),
  ];
}

function span(least: number | undefined, most: number | undefined, unit: string): string[] {
  const words = [...(least === undefined ? [] : [`at least ${least}`]), ...(most === undefined ? [] : [`at most ${most}`])];
  return words.length === 0 ? [] : [`${words.join(', ')}${unit === '' ? '' : ` ${unit}`}`];
}

function codes(texts: readonly string[]): string {
  return texts.map(code).join(', ');
}

/** A code span, whatever backticks the text has. */
function code(text: string): string {
  const fence = text.includes('`') ? '``' : '`';
  return `${fence}${text}${fence}`;
}
