import { IsInt, IsOptional, IsString, Matches, Min } from 'class-validator';
import type { Resource } from '@harikube/kube';
import { IsEmailAddress } from './email-address.js';
import { CustomObject, Kind } from './kind.js';
import { WEBSHOP } from './kind-group.js';
import { GROUP, VERSION } from './names.js';
import { Describe, IsTimestamp, Nested, ObjectRule, TextLength } from './schema-facts.js';
import { SINGLE_LINE } from './text-patterns.js';

/** Code points; four bytes each at most are less than what etcd takes in one request. */
export const MAX_BODY = 262144;

export class EmailSpec {
  @Describe('Whom the mail goes to.')
  @IsEmailAddress()
  toAddress!: string;

  @Describe('Whom the mail comes from.')
  @IsEmailAddress()
  fromAddress!: string;

  @Describe('The name that the reader sees beside the sender’s address.')
  @IsString()
  @TextLength(0, 256)
  @Matches(SINGLE_LINE, { message: 'must be one line without control characters' })
  fromName!: string;

  @Describe('Subject of the mail, one line.')
  @IsString()
  @TextLength(0, 998)
  @Matches(SINGLE_LINE, { message: 'must be one line without control characters' })
  subject!: string;

  @Describe('Text of the mail.')
  @IsOptional()
  @IsString()
  @TextLength(0, MAX_BODY)
  body?: string;
}

@ObjectRule({
  // A success may be told with an empty message, and beside the time of an earlier failure.
  rule: "!has(self.errorMessage) || self.errorMessage == '' || has(self.errorTimestamp)",
  message: 'an errorMessage has an errorTimestamp',
})
@ObjectRule({
  rule: '!has(oldSelf.sentTimestamp) || has(self.sentTimestamp)',
  message: 'a mail that was sent stays sent',
})
export class EmailStatus {
  @Describe('The metadata.generation that was last tried.')
  @IsOptional()
  @IsInt()
  @Min(0)
  lastGeneration?: number;

  @Describe('Why it could not be sent at the last try.')
  @IsOptional()
  @IsString()
  @TextLength(0, 32768)
  errorMessage?: string;

  @Describe('When it could not be sent.')
  @IsOptional()
  @IsTimestamp()
  errorTimestamp?: string;

  @Describe('Since when somebody is sending it. Nobody else tries until that one’s time is over.')
  @IsOptional()
  @IsTimestamp()
  sendingTimestamp?: string;

  @Describe('When it was sent.')
  @IsOptional()
  @IsTimestamp()
  sentTimestamp?: string;
}

@Kind({
  group: WEBSHOP,
  plural: 'emails',
  singular: 'email',
  namespaced: true,
  shortNames: ['eml'],
  description: 'A mail to be sent once.',
  columns: [
    { name: 'Email', type: 'string', jsonPath: '.spec.toAddress', description: 'Whom it goes to' },
    { name: 'Subject', type: 'string', jsonPath: '.spec.subject', description: 'Subject of the mail' },
    { name: 'Sent', type: 'date', jsonPath: '.status.sentTimestamp', description: 'Time since it was sent' },
    { name: 'Error', type: 'string', jsonPath: '.status.errorMessage', description: 'Why it could not be sent' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since it was made' },
  ],
  selectable: ['spec.toAddress'],
  roles: { viewer: 'separate', editor: 'aggregated' },
})
@ObjectRule({
  rule: '!has(oldSelf.status) || !has(oldSelf.status.sentTimestamp) || self.spec == oldSelf.spec',
  message: 'a mail that was sent cannot be changed; make another one',
  reason: 'FieldValueForbidden',
  fieldPath: '.spec',
})
export class Email extends CustomObject {
  @Describe('The mail.')
  @Nested(() => EmailSpec)
  spec!: EmailSpec;

  @Describe('What became of it.')
  @IsOptional()
  @Nested(() => EmailStatus)
  status?: EmailStatus;
}

export const EMAILS: Resource<Email> = { group: GROUP, version: VERSION, kind: 'Email', plural: 'emails', namespaced: true };
