import { ArrayMaxSize, IsInt, IsOptional, IsString, Matches, Min } from 'class-validator';
import type { Resource } from '@harikube/kube';
import { Condition, MAX_CONDITIONS } from './condition.js';
import { CustomObject, Kind } from './kind.js';
import { WEBSHOP } from './kind-group.js';
import { GROUP, VERSION } from './names.js';
import { Describe, List, Nested, NestedList, ObjectRule, TextLength } from './schema-facts.js';
import { COUNTRY, OBJECT_NAME, SINGLE_LINE } from './text-patterns.js';

export class TenantSpec {
  @Describe('Name of the company. A registration without one takes the name of the person.')
  @IsOptional()
  @IsString()
  @TextLength(1, 250)
  @Matches(SINGLE_LINE, { message: 'must be one line without control characters' })
  companyName?: string;

  @Describe('Country of the company in capital letters as in ISO 3166-1, such as HU or HUN.')
  @IsString()
  @TextLength(2, 3)
  @Matches(COUNTRY, { message: 'must be two or three capital letters as in ISO 3166-1, such as HU or HUN' })
  country!: string;

  @Describe('City of the company.')
  @IsString()
  @TextLength(1, 50)
  @Matches(SINGLE_LINE, { message: 'must be one line without control characters' })
  city!: string;

  @Describe('Street and number, or whatever leads to the door; it may have several lines.')
  @IsString()
  @TextLength(1, 512)
  address!: string;

  @Describe('Postal code, as the country writes it.')
  @IsString()
  @TextLength(1, 30)
  @Matches(SINGLE_LINE, { message: 'must be one line without control characters' })
  postalCode!: string;

  @Describe('Tax number, as the country writes it.')
  @IsOptional()
  @IsString()
  @TextLength(1, 256)
  @Matches(SINGLE_LINE, { message: 'must be one line without control characters' })
  taxNumber?: string;
}

export class LocalReference {
  @Describe('Name of the object that is meant.')
  @IsString()
  @TextLength(1, 253)
  @Matches(OBJECT_NAME)
  name!: string;
}

export class TenantStatus {
  @Describe('The metadata.generation that the controller has brought about.')
  @IsOptional()
  @IsInt()
  @Min(0)
  lastGeneration?: number;

  @Describe('The namespace of the tenant.')
  @IsOptional()
  @IsString()
  @TextLength(1, 63)
  @Matches(OBJECT_NAME)
  namespace?: string;

  @Describe('Other tenants that this one refers to.')
  @IsOptional()
  @NestedList(() => LocalReference)
  @ArrayMaxSize(64)
  @List({ type: 'atomic' })
  tenantRefs?: LocalReference[];

  @Describe('Ready: the namespace of the tenant is there and active.')
  @IsOptional()
  @NestedList(() => Condition)
  @ArrayMaxSize(MAX_CONDITIONS)
  @List({ type: 'map', keys: ['type'] })
  conditions?: Condition[];
}

@Kind({
  group: WEBSHOP,
  plural: 'tenants',
  singular: 'tenant',
  namespaced: false,
  shortNames: ['tnt'],
  description:
    'A company that uses the webshop. A namespace of the same name, which holds everything of the company, lives as long as the Tenant.',
  columns: [
    { name: 'Company', type: 'string', jsonPath: '.spec.companyName', description: 'Name of the company' },
    { name: 'Country', type: 'string', jsonPath: '.spec.country', description: 'Country of the company' },
    { name: 'City', type: 'string', jsonPath: '.spec.city', description: 'City of the company', priority: 1 },
    {
      name: 'Ready',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].status',
      description: 'Whether its namespace is active',
    },
    {
      name: 'Reason',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
      description: 'Why it is ready or not',
      priority: 1,
    },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since it was made' },
  ],
  selectable: ['spec.companyName', 'spec.country', 'spec.city', 'spec.taxNumber'],
  roles: { viewer: 'aggregated', editor: 'aggregated' },
})
@ObjectRule({
  rule: "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
  message: "the name of a Tenant is the name of its namespace: at most 63 characters, letters, digits and '-', without a dot",
})
export class Tenant extends CustomObject {
  @Describe('The company, as it wants to be known.')
  @Nested(() => TenantSpec)
  spec!: TenantSpec;

  @Describe('What the controllers have made of it.')
  @IsOptional()
  @Nested(() => TenantStatus)
  status?: TenantStatus;
}

export const TENANTS: Resource<Tenant> = { group: GROUP, version: VERSION, kind: 'Tenant', plural: 'tenants', namespaced: false };
