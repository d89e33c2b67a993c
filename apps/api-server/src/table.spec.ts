import { describe, expect, it } from '@jest/globals';
import { registrationOf } from './registration.js';
import { condition, storedRequest } from './spec/sample-requests.js';
import { tableOf } from './table.js';

const registration = registrationOf(storedRequest('jane', 'u-1', condition('Complete', 'True')));

describe('tableOf', () => {
  it('has a cell for each column, the name first and the age last', () => {
    const table = tableOf(registration, null) as { columnDefinitions: { name: string }[]; rows: { cells: unknown[]; object: object }[] };
    expect(table.columnDefinitions.map(({ name }) => name)).toEqual(['Name', 'Email', 'Company', 'Tenant', 'User', 'Age']);
    expect(table.rows).toEqual([
      {
        cells: ['jane', 'jane@example.com', 'Acme', 'u-1', 'u-1', '2026-01-02T03:04:05Z'],
        object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: registration.metadata },
      },
    ]);
  });

  it('carries as much of the object as is asked for', () => {
    expect(tableOf(registration, 'None')).not.toHaveProperty('rows.0.object');
    expect(tableOf(registration, 'Object')).toHaveProperty('rows.0.object', registration);
    expect(() => tableOf(registration, 'Half')).toThrow('unrecognized includeObject value: "Half"');
  });
});
