import { failure } from './status-answer.js';
import type { Registration } from './registration.js';

const COLUMNS = [
  { name: 'Name', type: 'string', format: 'name', description: 'Name of the registration', priority: 0 },
  { name: 'Email', type: 'string', format: '', description: 'E-mail address of the person', priority: 0 },
  { name: 'Company', type: 'string', format: '', description: 'Name of the company', priority: 0 },
  { name: 'Tenant', type: 'string', format: '', description: 'The Tenant that was made', priority: 0 },
  { name: 'User', type: 'string', format: '', description: 'The User that was made', priority: 1 },
  { name: 'Age', type: 'date', format: '', description: 'Time since it was asked for', priority: 0 },
];

/** The registration as a table of one row. `includeObject` is the parameter of the query; throws 400 for a value that it does not have. */
export function tableOf(registration: Registration, includeObject: string | null): object {
  const { metadata, spec, status } = registration;
  const cells = [
    metadata.name ?? '',
    spec.user.email,
    spec.tenant.companyName ?? '',
    status.tenant ?? '',
    status.user ?? '',
    metadata.creationTimestamp ?? null,
  ];
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: {},
    columnDefinitions: COLUMNS,
    rows: [{ cells, ...rowObject(registration, includeObject) }],
  };
}

/** Only what every object has. */
export function partialMetadataOf({ metadata }: Registration): object {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

function rowObject(registration: Registration, includeObject: string | null): { object?: object } {
  switch (includeObject) {
    case null:
    case '':
    case 'Metadata':
      return { object: partialMetadataOf(registration) };
    case 'None':
      return {};
    case 'Object':
      return { object: registration };
    default:
      throw failure(400, 'BadRequest', `unrecognized includeObject value: ${JSON.stringify(includeObject.slice(0, 100))}`);
  }
}
