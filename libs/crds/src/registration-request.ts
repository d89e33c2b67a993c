import { ArrayMaxSize, IsOptional, IsString, Matches } from 'class-validator';
import type { Resource } from '@harikube/kube';
import { Condition, MAX_CONDITIONS } from './condition.js';
import { CustomObject, Kind } from './kind.js';
import { WEBSHOP } from './kind-group.js';
import { GROUP, VERSION } from './names.js';
import { Describe, FieldRule, List, Nested, NestedList, ObjectRule, Secret, TextLength } from './schema-facts.js';
import { TenantSpec } from './tenant.js';
import { ARGON2ID_HASH, OBJECT_NAME } from './text-patterns.js';
import { UserSpec } from './user.js';

export class RegistrationRequestSpec {
  @Describe('The person to register.')
  @Nested(() => UserSpec)
  user!: UserSpec;

  @Describe(
    'The password when it is sent: 8 to 64 characters with a small and a capital letter, a digit and a special character. ' +
      'Admission replaces it by its argon2id hash, so that only the hash is stored.',
  )
  @IsString()
  @TextLength(0, 256)
  @Matches(ARGON2ID_HASH, { message: 'must be an argon2id hash in PHC form' })
  @Secret()
  password!: string;

  @Describe('The company to register.')
  @Nested(() => TenantSpec)
  tenant!: TenantSpec;
}

@ObjectRule({
  rule: "!has(self.conditions) || !(self.conditions.exists(c, c.type == 'Complete' && c.status == 'True') && self.conditions.exists(c, c.type == 'Failed' && c.status == 'True'))",
  message: 'a registration is either Complete or Failed',
})
@ObjectRule({
  rule: "!has(self.conditions) || !self.conditions.exists(c, c.type == 'Complete' && c.status == 'True') || (has(self.tenant) && has(self.namespace) && has(self.user))",
  message: 'a Complete registration names its tenant, namespace and user',
})
export class RegistrationRequestStatus {
  @Describe('The Tenant that was made.')
  @IsOptional()
  @IsString()
  @TextLength(1, 63)
  @Matches(OBJECT_NAME)
  tenant?: string;

  @Describe('The namespace of the Tenant.')
  @IsOptional()
  @IsString()
  @TextLength(1, 63)
  @Matches(OBJECT_NAME)
  namespace?: string;

  @Describe('The User that was made in this namespace.')
  @IsOptional()
  @IsString()
  @TextLength(1, 253)
  @Matches(OBJECT_NAME)
  user?: string;

  @Describe('How far it is: Claimed, TenantReady, UserReady, EmailCreated, and at last Complete or Failed.')
  @IsOptional()
  @NestedList(() => Condition)
  @ArrayMaxSize(MAX_CONDITIONS)
  @List({ type: 'map', keys: ['type'] })
  conditions?: Condition[];
}

@Kind({
  group: WEBSHOP,
  plural: 'registrationrequests',
  singular: 'registrationrequest',
  namespaced: false,
  shortNames: ['regreq'],
  description:
    'A person who wants to use the webshop for a company. The controllers make a Tenant and a User of it, and delete it when both are there.',
  columns: [
    { name: 'Email', type: 'string', jsonPath: '.spec.user.email', description: 'E-mail address of the person' },
    { name: 'Company', type: 'string', jsonPath: '.spec.tenant.companyName', description: 'Name of the company' },
    {
      name: 'Complete',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Complete")].status',
      description: 'Whether everything is made',
    },
    {
      name: 'Failed',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Failed")].status',
      description: 'Whether it cannot succeed',
    },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Failed")].reason', description: 'Why it cannot succeed' },
    { name: 'Tenant', type: 'string', jsonPath: '.status.tenant', description: 'The Tenant that was made', priority: 1 },
    {
      name: 'Message',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Failed")].message',
      description: 'Why it cannot succeed, in a sentence',
      priority: 1,
    },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since it was made' },
  ],
  selectable: ['spec.user.email'],
  roles: { viewer: 'none', editor: 'separate' },
})
export class RegistrationRequest extends CustomObject {
  @Describe('Who is to be registered. It cannot be changed.')
  @Nested(() => RegistrationRequestSpec)
  @FieldRule({
    rule: 'self == oldSelf',
    message: 'a registration cannot be changed; delete it and make another one',
    reason: 'FieldValueForbidden',
  })
  spec!: RegistrationRequestSpec;

  @Describe('How far the registration is.')
  @IsOptional()
  @Nested(() => RegistrationRequestStatus)
  status?: RegistrationRequestStatus;
}

export const REGISTRATION_REQUESTS: Resource<RegistrationRequest> = {
  group: GROUP,
  version: VERSION,
  kind: 'RegistrationRequest',
  plural: 'registrationrequests',
  namespaced: false,
};
