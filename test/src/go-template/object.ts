/** What the cases are about: an object with every kind of value. */
export const OBJECT = {
  metadata: {
    name: 'ada',
    namespace: 'acme',
    generation: 3,
    labels: { b: '2', a: '1', B: '3' },
    finalizers: ['x', 'y'],
    deletionTimestamp: null,
  },
  spec: {
    email: 'ada@example.com',
    title: 'Ada "the" <Countess> & Co\'s',
    ratio: 1.5,
    isAdmin: true,
    isOff: false,
    empty: '',
    none: [],
    no: {},
    zero: 0,
    negative: -7,
    list: [1, 'two', null, false, 2.5, { k: 'v' }],
    text: 'żółw ☃ 😀',
    lines: 'a\nb\tc',
  },
  users: [
    { name: 'x', n: 1, tags: ['p', 'q'] },
    { name: 'y', n: 2, tags: [] },
  ],
};
