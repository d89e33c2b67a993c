import { describe, expect, it } from '@jest/globals';
import { type AbandonRequest, abandonRequestsOf } from './abandon-data.js';

const requests = (text?: string): AbandonRequest[] =>
  abandonRequestsOf({ metadata: text === undefined ? {} : { annotations: { 'harikube.info/abandon-data': text } } });

describe('abandonRequestsOf', () => {
  it.each<[string | undefined, AbandonRequest[]]>([
    [undefined, []],
    ['', []],
    ['users', [{ backend: 'users', keys: null }]],
    ['users=12', [{ backend: 'users', keys: 12 }]],
    [
      'users=0, e-mail',
      [
        { backend: 'users', keys: 0 },
        { backend: 'e-mail', keys: null },
      ],
    ],
  ])('reads %j', (text, expected) => {
    expect(requests(text)).toEqual(expected);
  });

  it.each(['users=', 'users=-1', 'Users', 'users=1,', 'a b', '=3', 'users=1.5'])('refuses %j and names it', (text) => {
    expect(() => requests(text)).toThrow(`harikube.info/abandon-data=${text} is not usable; write BACKEND=KEYS`);
  });

  it('refuses to be told of a backend twice', () => {
    expect(() => requests('users=7,users=8')).toThrow('names users twice; leave one of them out');
  });
});
