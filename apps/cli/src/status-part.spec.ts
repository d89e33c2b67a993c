import { describe, expect, it } from '@jest/globals';
import { statusLines } from './status-part.js';

describe('statusLines', () => {
  it('aligns what is said and shows what fails below its part', () => {
    expect(
      statusLines([
        { name: 'router', isReady: true, text: 'process 7', below: ['[+]backend-main ok'] },
        { name: 'kube-apiserver', isReady: false, text: 'no process, does not answer' },
      ]),
    ).toEqual([
      '  ok    router          process 7',
      '                        [+]backend-main ok',
      '  FAIL  kube-apiserver  no process, does not answer',
    ]);
  });
});
