import { describe, expect, it } from '@jest/globals';
import { abandonmentsOf, InvalidAbandonmentError } from './abandon-data.js';

const asked = (text?: string): unknown =>
  abandonmentsOf({ metadata: text === undefined ? {} : { annotations: { 'harikube.info/abandon-data': text } } });

describe('abandonmentsOf', () => {
  it('reads backends with and without the number of their keys', () => {
    expect(asked()).toEqual([]);
    expect(asked('users')).toEqual([{ backend: 'users', keys: null }]);
    expect(asked('users=7, old-mails=0')).toEqual([
      { backend: 'users', keys: 7 },
      { backend: 'old-mails', keys: 0 },
    ]);
  });

  it.each(['', 'users=', 'users=seven', 'users=-1', 'Users', 'users 7', 'users,', '=7'])(
    'refuses %j and says how it is written',
    (text) => {
      expect(() => asked(text)).toThrow(InvalidAbandonmentError);
      expect(() => asked(text)).toThrow(`"${text}" is not usable; write BACKEND=KEYS with the number of the keys that are given up`);
    },
  );

  it('refuses to be told of a backend twice', () => {
    expect(() => asked('users=7,users=8')).toThrow('"users=7,users=8" names users twice; leave one of them out');
  });
});
