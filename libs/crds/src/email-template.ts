import { IsOptional, IsString, Matches } from 'class-validator';
import type { Resource } from '@harikube/kube';
import { MAX_BODY } from './email.js';
import { IsEmailAddress } from './email-address.js';
import { CustomObject, Kind } from './kind.js';
import { WEBSHOP } from './kind-group.js';
import { GROUP, VERSION } from './names.js';
import { Describe, Nested, TextLength } from './schema-facts.js';
import { SINGLE_LINE } from './text-patterns.js';

export class EmailTemplateSpec {
  @Describe('Name of the template, for people.')
  @IsString()
  @TextLength(1, 256)
  @Matches(SINGLE_LINE, { message: 'must be one line without control characters' })
  displayName!: string;

  @Describe('What the template is for.')
  @IsOptional()
  @IsString()
  @TextLength(0, 4096)
  description?: string;

  @Describe('The name that the reader sees beside the sender’s address.')
  @IsString()
  @TextLength(0, 256)
  @Matches(SINGLE_LINE, { message: 'must be one line without control characters' })
  fromName!: string;

  @Describe('Whom the mail comes from.')
  @IsEmailAddress()
  fromAddress!: string;

  @Describe('Subject of the mail, one line.')
  @IsString()
  @TextLength(0, 998)
  @Matches(SINGLE_LINE, { message: 'must be one line without control characters' })
  subject!: string;

  @Describe('Text of the mail: a Go template, of which the dot is the User.')
  @IsString()
  @TextLength(0, MAX_BODY)
  body!: string;
}

export class EmailTemplateStatus {}

@Kind({
  group: WEBSHOP,
  plural: 'emailtemplates',
  singular: 'emailtemplate',
  namespaced: true,
  shortNames: ['emltpl'],
  description: 'The pattern of which mails are made.',
  columns: [
    { name: 'DisplayName', type: 'string', jsonPath: '.spec.displayName', description: 'Name of the template' },
    { name: 'Subject', type: 'string', jsonPath: '.spec.subject', description: 'Subject of the mails' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since it was made' },
  ],
  selectable: ['spec.displayName'],
  roles: { viewer: 'aggregated', editor: 'aggregated' },
})
export class EmailTemplate extends CustomObject {
  @Describe('The template.')
  @Nested(() => EmailTemplateSpec)
  spec!: EmailTemplateSpec;

  @Describe('Nothing is told of a template.')
  @IsOptional()
  @Nested(() => EmailTemplateStatus)
  status?: EmailTemplateStatus;
}

export const EMAIL_TEMPLATES: Resource<EmailTemplate> = {
  group: GROUP,
  version: VERSION,
  kind: 'EmailTemplate',
  plural: 'emailtemplates',
  namespaced: true,
};
