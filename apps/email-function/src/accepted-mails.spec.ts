import { describe, expect, it } from '@jest/globals';
import { AcceptedMails } from './accepted-mails.js';

describe('AcceptedMails', () => {
  it('forgets the oldest beyond its limit', () => {
    const mails = new AcceptedMails(2);
    const time = new Date(0);
    for (const id of ['a', 'b', 'c']) mails.add(id, time);
    expect([mails.get('a'), mails.get('b'), mails.get('c')]).toEqual([undefined, time, time]);
    mails.delete('b');
    mails.add('d', time);
    expect([mails.get('b'), mails.get('c'), mails.get('d')]).toEqual([undefined, time, time]);
  });
});
