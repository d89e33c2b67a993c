import type { EmailSpec, EmailTemplate, User } from '@harikube/crds';
import { Template } from '@harikube/go-template';

/** The mail that a template makes for a user. Throws what is wrong with the template. */
export function welcomeEmail(template: EmailTemplate, user: User): EmailSpec {
  const { fromAddress, fromName, subject, body } = template.spec;
  const values = valuesOf(user);
  return {
    toAddress: user.spec.email,
    fromAddress,
    fromName,
    subject: rendered('subject', subject, values),
    body: rendered('body', body, values),
  };
}

function rendered(name: string, text: string, values: object): string {
  return text.includes('{{') ? Template.parse(text, { name }).execute(values) : text;
}

/** The User as a template sees it: without its annotations, one of which may be the hash of the password, and without the book-keeping of writers. */
function valuesOf(user: User): object {
  const { annotations: _annotations, managedFields: _managedFields, ...metadata } = user.metadata;
  return { ...user, metadata };
}
