import { domainToASCII } from 'node:url';
import type { Email } from '@harikube/crds';
import { textOfHtml } from './html-text.js';

interface Mailbox {
  readonly name: string;
  readonly address: string;
}

/** A mail as it goes to the server. */
export interface MailMessage {
  /** Equal for each try to send the same Email, so that a mail that came twice is known as one. */
  readonly messageId: string;
  readonly date: Date;
  readonly from: Mailbox;
  readonly to: Mailbox;
  readonly subject: string;
  readonly text: string;
  /** Null: a mail of plain text alone. */
  readonly html: string | null;
}

/** The mail of an Email whose spec is valid. */
export function mailOf(email: Email, date: Date): MailMessage {
  const { fromName, fromAddress, toAddress, subject, body = '' } = email.spec;
  const isHtml = body.trimStart().startsWith('<');
  return {
    messageId: messageIdOf(email),
    date,
    from: { name: fromName, address: fromAddress },
    to: { name: '', address: toAddress },
    subject,
    text: isHtml ? textOfHtml(body) : body,
    html: isHtml ? body : null,
  };
}

/** Of one generation of an Email: another text is another mail. */
export function messageIdOf({ metadata, spec }: Email): string {
  const domain = domainToASCII(spec.fromAddress.slice(spec.fromAddress.lastIndexOf('@') + 1));
  return `<${metadata.uid}.${metadata.generation}@${domain}>`;
}
