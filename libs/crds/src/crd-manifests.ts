import { type KindOptions, kindOptions, type SchemaClass } from './kind.js';
import { VERSION } from './names.js';
import { openApiSchema, type OpenApiSchema } from './open-api-schema.js';

/** The CustomResourceDefinition of a kind. */
export function crdManifest(target: SchemaClass): object {
  const { group, plural, singular, namespaced, shortNames, columns, selectable } = optionsOf(target);
  const schema = openApiSchema(target);
  for (const path of selectable) checkSelectable(target, schema, path);
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group.name}` },
    spec: {
      group: group.name,
      scope: namespaced ? 'Namespaced' : 'Cluster',
      names: {
        kind: target.name,
        listKind: `${target.name}List`,
        plural,
        singular,
        shortNames: [...shortNames],
        categories: [group.category],
      },
      preserveUnknownFields: false,
      // One version: what is stored is what is served. Another one comes with `served` first, then a conversion, then `storage`.
      conversion: { strategy: 'None' },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          ...(schema.properties?.['status'] === undefined ? {} : { subresources: { status: {} } }),
          additionalPrinterColumns: columns.map(({ name, type, description, jsonPath, priority }) => ({
            name,
            type,
            description,
            jsonPath,
            ...(priority === undefined ? {} : { priority }),
          })),
          selectableFields: selectable.map((path) => ({ jsonPath: `.${path}` })),
          schema: { openAPIV3Schema: schema },
        },
      ],
    },
  };
}

/** The ClusterRoles of a kind: for who administers it, who writes it, and who reads it. */
export function clusterRoles(target: SchemaClass): object[] {
  const { group, plural, singular, roles } = optionsOf(target);
  const role = (level: 'admin' | 'edit' | 'view', suffix: string, isAggregated: boolean, rules: [string[], string[]][]): object => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: {
      name: [group.rolePrefix, singular, suffix].filter((part) => part !== '').join('-'),
      labels: {
        'app.kubernetes.io/part-of': 'harikube',
        ...(isAggregated ? { [`rbac.authorization.k8s.io/aggregate-to-${level}`]: 'true' } : {}),
      },
    },
    rules: rules.map(([resources, verbs]) => ({ apiGroups: [group.name], resources, verbs })),
  });
  const read = ['get', 'list', 'watch'];
  const write = ['create', 'delete', 'deletecollection', 'patch', 'update'];
  const hasStatus = openApiSchema(target).properties?.['status'] !== undefined;
  const status = `${plural}/status`;
  const readStatus: [string[], string[]][] = hasStatus ? [[[status], ['get']]] : [];
  const found = [
    role('admin', 'admin', roles.editor === 'aggregated', [
      [[plural], [...read, ...write]],
      ...(hasStatus ? [[[status], ['get', 'patch', 'update']] satisfies [string[], string[]]] : []),
    ]),
  ];
  if (roles.editor !== 'none')
    found.push(role('edit', 'editor', roles.editor === 'aggregated', [[[plural], [...read, ...write]], ...readStatus]));
  if (roles.viewer !== 'none') found.push(role('view', 'viewer', roles.viewer === 'aggregated', [[[plural], read], ...readStatus]));
  return found;
}

function optionsOf(target: SchemaClass): KindOptions {
  const options = kindOptions(target);
  if (options === undefined) throw new Error(`${target.name} is no kind: it has no @Kind`);
  return options;
}

function checkSelectable(target: SchemaClass, schema: OpenApiSchema, path: string): void {
  let at: OpenApiSchema | undefined = schema;
  for (const name of path.split('.')) at = at?.properties?.[name];
  if (at === undefined || !['string', 'integer', 'boolean'].includes(at.type))
    throw new Error(`the selectable field "${path}" of ${target.name} is no text, number or boolean of its schema`);
}
