import { ArrayMaxSize, IsIn, IsInt, IsOptional, IsString, Matches, Min } from 'class-validator';
import type { Resource } from '@harikube/kube';
import { Condition, MAX_CONDITIONS } from './condition.js';
import { IsEmailAddress } from './email-address.js';
import { CustomObject, Kind } from './kind.js';
import { WEBSHOP } from './kind-group.js';
import { GROUP, VERSION } from './names.js';
import { Default, Describe, List, Nested, NestedList, ObjectRule, TextLength } from './schema-facts.js';
import { LocalReference } from './tenant.js';
import { PERSON_NAME, PHONE } from './text-patterns.js';

export class UserSpec {
  @Describe('First name of the person.')
  @IsString()
  @TextLength(1, 125)
  @Matches(PERSON_NAME, { message: 'must begin with a letter and have letters, spaces, apostrophes and hyphens only' })
  firstName!: string;

  @Describe('Last name of the person.')
  @IsString()
  @TextLength(1, 125)
  @Matches(PERSON_NAME, { message: 'must begin with a letter and have letters, spaces, apostrophes and hyphens only' })
  lastName!: string;

  @Describe('E-mail address of the person, who is known by it: no other registration may have it, whatever its case.')
  @IsEmailAddress()
  email!: string;

  @Describe('Phone number as in E.164: the country code, with or without a plus, and the number, at most 15 digits.')
  @IsOptional()
  @IsString()
  @TextLength(7, 16)
  @Matches(PHONE, { message: 'must be a phone number as in E.164: at most 15 digits, with or without a plus before them' })
  phoneNumber?: string;
}

export class UserStatus {
  @Describe('The metadata.generation that the controller has brought about.')
  @IsOptional()
  @IsInt()
  @Min(0)
  lastGeneration?: number;

  @Describe('Whether the person has proved to have the e-mail address.')
  @IsOptional()
  @IsIn(['Pending', 'Validated'])
  @Default('Pending')
  phase?: 'Pending' | 'Validated';

  @Describe('The Secret in the same namespace that holds the hash of the password under the key hash.')
  @IsOptional()
  @Nested(() => LocalReference)
  passwordRef?: LocalReference;

  @Describe('Ready: the account, its rights and its password are there.')
  @IsOptional()
  @NestedList(() => Condition)
  @ArrayMaxSize(MAX_CONDITIONS)
  @List({ type: 'map', keys: ['type'] })
  conditions?: Condition[];
}

@Kind({
  group: WEBSHOP,
  plural: 'users',
  singular: 'user',
  namespaced: true,
  shortNames: ['usr'],
  description: 'A person who acts for a Tenant, in its namespace. A ServiceAccount of the same name has the rights of the person.',
  columns: [
    { name: 'FirstName', type: 'string', jsonPath: '.spec.firstName', description: 'First name of the person' },
    { name: 'LastName', type: 'string', jsonPath: '.spec.lastName', description: 'Last name of the person' },
    { name: 'Email', type: 'string', jsonPath: '.spec.email', description: 'E-mail address of the person' },
    { name: 'Phase', type: 'string', jsonPath: '.status.phase', description: 'Whether the address is proved' },
    {
      name: 'Ready',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].status',
      description: 'Whether the account can be used',
    },
    {
      name: 'Reason',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
      description: 'Why it can be used or not',
      priority: 1,
    },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since it was made' },
  ],
  selectable: ['spec.firstName', 'spec.lastName', 'spec.email'],
  roles: { viewer: 'separate', editor: 'aggregated' },
})
@ObjectRule({
  rule: 'self.spec.email.lowerAscii() == oldSelf.spec.email.lowerAscii()',
  message: 'the address is claimed by the registration and only its case can change; another address needs a registration of its own',
  reason: 'FieldValueForbidden',
  fieldPath: '.spec.email',
})
export class User extends CustomObject {
  @Describe('The person.')
  @Nested(() => UserSpec)
  spec!: UserSpec;

  @Describe('What the controllers have made of it.')
  @IsOptional()
  @Nested(() => UserStatus)
  status?: UserStatus;
}

export const USERS: Resource<User> = { group: GROUP, version: VERSION, kind: 'User', plural: 'users', namespaced: true };
