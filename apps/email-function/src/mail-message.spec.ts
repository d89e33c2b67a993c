import { describe, expect, it } from '@jest/globals';
import { mailOf, messageIdOf } from './mail-message.js';
import { sampleEmail } from './spec/emails-double.js';

describe('mailOf', () => {
  const date = new Date('2026-01-02T03:04:05Z');

  it('takes a body that begins with a tag for HTML and makes its text', () => {
    const mail = mailOf(sampleEmail({ body: '\n <p>Hi</p>' }), date);
    expect(mail).toMatchObject({ text: 'Hi', html: '\n <p>Hi</p>', date, subject: 'Welcome, Jane' });
    expect(mail.from).toEqual({ name: 'The Webshop', address: 'noreply@webshop.example' });
  });

  it('takes another body as it is, and none for an empty one', () => {
    expect(mailOf(sampleEmail({ body: 'Hi <b>you</b>' }), date)).toMatchObject({ text: 'Hi <b>you</b>', html: null });
    expect(mailOf(sampleEmail({ body: undefined }), date)).toMatchObject({ text: '', html: null });
  });
});

describe('messageIdOf', () => {
  it('is the same for each try, and another one for another generation or Email', () => {
    expect(messageIdOf(sampleEmail())).toBe(messageIdOf(sampleEmail({}, { resourceVersion: '9', labels: { a: 'b' } })));
    const ids = [sampleEmail(), sampleEmail({}, { generation: 4 }), sampleEmail({}, { uid: 'uid-2' })].map(messageIdOf);
    expect(new Set(ids).size).toBe(3);
  });

  it('has the domain of the sender as DNS knows it', () => {
    expect(messageIdOf(sampleEmail({ fromAddress: 'post@bücher.example' }))).toBe('<uid-1.3@xn--bcher-kva.example>');
  });
});
