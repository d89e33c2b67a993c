import { API_VERSION, type EmailTemplate, PLATFORM_NAMESPACE, REGISTRATION_EMAIL_TEMPLATE } from '@harikube/crds';

/** The mail that greets a user after the registration, for a start; it belongs to whoever edits it. */
export const EXAMPLE_EMAIL_TEMPLATE: EmailTemplate = {
  apiVersion: API_VERSION,
  kind: 'EmailTemplate',
  metadata: { name: REGISTRATION_EMAIL_TEMPLATE, namespace: PLATFORM_NAMESPACE },
  spec: {
    displayName: 'Registration',
    description:
      'Greets a user after the registration. Subject and body are Go templates, of which the dot is the User; a body that begins with a tag is HTML.',
    fromName: 'Example Webshop',
    fromAddress: 'shop@example.com',
    subject: 'Welcome to the Example Webshop',
    body: `<p>Dear {{ html .spec.firstName }} {{ html .spec.lastName }},</p>
<p>your account is ready. You log in with your address <b>{{ html .spec.email }}</b> and the password that you have chosen.</p>
<p>Example Webshop</p>
`,
  },
};
