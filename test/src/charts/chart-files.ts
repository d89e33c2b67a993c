/**
 * What is generated in the charts: `values.schema.json` and the table of values in `README.md`, both from `values.yaml` and its comments, and the
 * CustomResourceDefinitions of the chart that installs them. The comment above a value is its description; a line `@schema {…}` in it says what
 * the default does not show: choices, items of a list, the form of an object whose keys nobody knows here.
 */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clusterRolesFile, crdFiles } from '@harikube/crds';
import { isMap, isScalar, isSeq, type Pair, parseDocument, type YAMLMap } from 'yaml';

/** The folder of the charts. */
export const CHARTS = fileURLToPath(new URL('../../../helm/', import.meta.url));

/** Below this line of a README everything is generated. */
const MARKER = '<!-- Generated from values.yaml: change the comments there. -->';
const CRD_CHART = 'harikube-crds';

type Schema = Readonly<Record<string, unknown>>;

interface Value {
  /** As `--set` writes it. */
  readonly path: string;
  readonly description: string;
  readonly fallback: unknown;
}

/** Each generated file of a chart, by its path, with its text. */
export async function chartFiles(chart: string): Promise<Map<string, string>> {
  const folder = join(CHARTS, chart);
  const values = parseDocument(await readFile(join(folder, 'values.yaml'), 'utf8')).contents;
  if (!isMap(values)) throw new Error(`${chart}/values.yaml is no map of values`);
  const readme = join(folder, 'README.md');
  const [intro = ''] = (await readFile(readme, 'utf8')).split(MARKER);
  return new Map([
    [join(folder, 'values.schema.json'), `${JSON.stringify(rootSchema(values), null, 2)}\n`],
    [readme, `${intro.trimEnd()}\n\n${MARKER}\n\n${table(valuesOf(values, ''))}`],
    ...(chart === CRD_CHART ? await definitionFiles(folder) : []),
  ]);
}

/** Charts are folders with a Chart.yaml. */
export async function chartNames(): Promise<string[]> {
  const entries = await readdir(CHARTS, { recursive: true });
  return entries.filter((path) => /^[^/]+\/Chart\.yaml$/.test(path)).map((path) => path.split('/')[0] ?? '');
}

async function definitionFiles(folder: string): Promise<[string, string][]> {
  const files = [...crdFiles(), clusterRolesFile()];
  return await Promise.all(
    files.map(async (file): Promise<[string, string]> => [join(folder, 'files', basename(file)), await readFile(file, 'utf8')]),
  );
}

function rootSchema(values: YAMLMap): Schema {
  const schema = mapSchema(values);
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    ...schema,
    // As a part of another chart it is given what all parts are given.
    properties: { global: { type: 'object' }, ...(schema['properties'] as object) },
  };
}

function mapSchema(values: YAMLMap): Schema {
  const properties = Object.fromEntries(
    values.items.map((pair, index) => {
      const { description, schema } = commentOf(values, pair, index);
      return [keyOf(pair), { ...(description === '' ? {} : { description }), ...schemaOf(pair.value), ...schema }];
    }),
  );
  return { type: 'object', additionalProperties: false, properties };
}

function schemaOf(value: unknown): Schema {
  if (isMap(value)) return value.items.length === 0 ? { type: 'object' } : mapSchema(value);
  if (isSeq(value)) return { type: 'array' };
  const plain = isScalar(value) ? value.value : null;
  switch (typeof plain) {
    case 'boolean':
      return { type: 'boolean' };
    case 'number':
      return { type: 'integer' };
    case 'string':
      return { type: 'string' };
    default:
      return {};
  }
}

function valuesOf(values: YAMLMap, prefix: string): Value[] {
  return values.items.flatMap((pair, index) => {
    const path = `${prefix}${keyOf(pair).replaceAll('.', String.raw`\.`)}`;
    const { description, schema } = commentOf(values, pair, index);
    const { value } = pair;
    if (isMap(value) && value.items.length > 0 && schema['additionalProperties'] === undefined) return valuesOf(value, `${path}.`);
    return [{ path, description, fallback: isMap(value) || isSeq(value) || isScalar(value) ? (value.toJSON() as unknown) : null }];
  });
}

function keyOf({ key }: Pair): string {
  return isScalar(key) ? String(key.value) : String(key);
}

/** A comment above the first key of a map is the map's own to the parser. */
function commentOf(values: YAMLMap, { key }: Pair, index: number): { readonly description: string; readonly schema: Schema } {
  const own = isScalar(key) ? (key.commentBefore ?? '') : '';
  const text = index === 0 && own === '' ? (values.commentBefore ?? '') : own;
  // A paragraph before is about a group of values.
  const lines = (text.split(/\n\s*\n/).at(-1) ?? '').split('\n').map((line) => line.trim());
  const schemaLine = lines.find((line) => line.startsWith('@schema '));
  return {
    description: lines.filter((line) => line !== '' && !line.startsWith('@schema ')).join(' '),
    schema: schemaLine === undefined ? {} : (JSON.parse(schemaLine.slice('@schema '.length)) as Schema),
  };
}

function table(values: readonly Value[]): string {
  const cell = (text: string): string => text.replaceAll('|', String.raw`\|`);
  const rows = values.map(({ path, description, fallback }) => [
    `\`${cell(path)}\``,
    `\`${cell(typeof fallback === 'string' && fallback !== '' ? fallback : JSON.stringify(fallback))}\``,
    cell(description),
  ]);
  const all = [['Value', 'Default', 'Meaning'], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[], fill = ' '): string =>
    `| ${row.map((text, column) => text.padEnd(widths[column] ?? 0, fill)).join(' | ')} |\n`;
  const [head = [], ...body] = all;
  return [line(head), line(['', '', ''], '-'), ...body.map((row) => line(row))].join('');
}

/** The lines of a values file that no comment explains. */
export async function unexplainedValues(chart: string): Promise<string[]> {
  const values = parseDocument(await readFile(join(CHARTS, chart, 'values.yaml'), 'utf8')).contents;
  return isMap(values)
    ? valuesOf(values, '')
        .filter(({ description }) => description === '')
        .map(({ path }) => path)
    : [];
}
