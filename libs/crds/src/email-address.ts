import { createHash } from 'node:crypto';
import { domainToASCII } from 'node:url';
import { IsString, Matches, ValidateBy } from 'class-validator';
import { composed, TextLength } from './schema-facts.js';
import { EMAIL } from './text-patterns.js';

/**
 * The form of an address by which two registrations are the same person's: no blanks around it, Unicode NFC, small letters, and the domain as DNS
 * knows it (`xn--…`). Idempotent; does not throw, whatever the text.
 *
 * The whole address is made small: the part before the `@` may mean something else in capitals, but no provider that people have does so, and
 * `Jane@` and `jane@` are one person nearly always. Dots and `+tags` stay: only some providers ignore them, so that without them two people of
 * another provider would be one, and the second could not register. A tag is a mailbox that the person chose.
 */
export function normalizeEmail(text: string): string {
  const address = text.trim().normalize('NFC').toLowerCase().normalize('NFC');
  const at = address.lastIndexOf('@');
  if (at < 0) return address;
  const domain = domainToASCII(address.slice(at + 1));
  // '' is Node's word for a domain that cannot be one; validation refuses it, and the text stays what it is.
  return domain === '' ? address : `${address.slice(0, at)}@${domain}`;
}

/** The name of the EmailClaim of an address: equal for two addresses exactly when their normalised forms are. */
export function claimName(email: string): string {
  return createHash('sha256').update(normalizeEmail(email), 'utf8').digest('hex');
}

/** An address that a mail can be sent to. */
export function IsEmailAddress(): PropertyDecorator {
  return composed(
    IsString(),
    TextLength(5, 256),
    Matches(EMAIL, { message: 'must be an e-mail address, such as jane@example.com' }),
    ValidateBy({
      name: 'emailDomain',
      validator: {
        validate: (value) =>
          typeof value !== 'string' || !EMAIL.test(value) || domainToASCII(value.slice(value.lastIndexOf('@') + 1)) !== '',
        defaultMessage: () => 'must be an e-mail address of a domain that DNS can know',
      },
    }),
  );
}
