import { IsString, Matches } from 'class-validator';
import type { Resource } from '@harikube/kube';
import { CustomObject, Kind } from './kind.js';
import { WEBSHOP } from './kind-group.js';
import { GROUP, VERSION } from './names.js';
import { Describe, Nested, ObjectRule, TextLength } from './schema-facts.js';
import { OBJECT_NAME, UID } from './text-patterns.js';

@ObjectRule({
  rule: 'self.requestUid != oldSelf.requestUid || self.requestName == oldSelf.requestName',
  message: 'requestName changes together with requestUid only: both say which request has the address',
  reason: 'FieldValueForbidden',
  fieldPath: '.requestName',
})
export class EmailClaimSpec {
  @Describe('Name of the RegistrationRequest that has the address.')
  @IsString()
  @TextLength(1, 253)
  @Matches(OBJECT_NAME)
  requestName!: string;

  @Describe('metadata.uid of this RegistrationRequest.')
  @IsString()
  @TextLength(1, 128)
  @Matches(UID)
  requestUid!: string;
}

@Kind({
  group: WEBSHOP,
  plural: 'emailclaims',
  singular: 'emailclaim',
  namespaced: false,
  shortNames: ['emlclm'],
  description:
    'Says which registration has an e-mail address; the name is the SHA-256 of the normalised address. ' +
    'To create it is to win the address. It belongs to the RegistrationRequest, and to the Tenant once that is there, and goes with it.',
  columns: [
    { name: 'Request', type: 'string', jsonPath: '.spec.requestName', description: 'The registration that has the address' },
    { name: 'Owner', type: 'string', jsonPath: '.metadata.ownerReferences[0].kind', description: 'The kind of object that it goes with' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since it was made' },
  ],
  selectable: ['spec.requestName', 'spec.requestUid'],
  roles: { viewer: 'separate', editor: 'none' },
})
@ObjectRule({
  rule: "self.metadata.name.matches('^[0-9a-f]{64}$')",
  message: 'the name of an EmailClaim is the SHA-256 of the normalised address: 64 hexadecimal digits',
})
export class EmailClaim extends CustomObject {
  @Describe('Who has the address.')
  @Nested(() => EmailClaimSpec)
  spec!: EmailClaimSpec;
}

export const EMAIL_CLAIMS: Resource<EmailClaim> = {
  group: GROUP,
  version: VERSION,
  kind: 'EmailClaim',
  plural: 'emailclaims',
  namespaced: false,
};
