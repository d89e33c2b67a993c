import { beforeAll, describe, expect, it } from '@jest/globals';
import { SPRIG_DATA } from './sprig-data.js';
import { type Answer, ownAnswer, type TemplateCase } from './template-case.js';
import { answersOfGo } from './template-oracle.js';

interface Difference {
  readonly what: string;
  readonly template: string;
  readonly ofGo: string;
  readonly ours: string;
}

const OTHER_INTEGER = 'template: t:1:9: executing "t" at <.n>: wrong type for value; expected int; got int64';

/** What is known not to be as in Go's sprig, with both answers. */
const DIFFERENCES: readonly Difference[] = [
  { what: 'takes an int64 for an int', template: '{{repeat .n "a"}}', ofGo: OTHER_INTEGER, ours: 'aaaaaaa' },
  { what: 'finds an int64 and an int the same', template: '{{deepEqual 7 .n}} {{has 2 .list}}', ofGo: 'false false', ours: 'true true' },
  {
    what: 'names an int of a list an int64',
    template: '{{typeOf (until 1 | first)}} {{kindOf (list 1 | first)}}',
    ofGo: 'int int',
    ours: 'int64 int64',
  },
  { what: 'takes the seconds of a duration also from an int', template: '{{duration 95}}', ofGo: '0s', ours: '1m35s' },
  {
    what: 'does not cut a character in two',
    template: '{{trunc 1 "é" | len}}',
    ofGo: '1',
    ours: 'template: t:1:2: executing "t" at <trunc 1 "é">: error calling trunc: the result is no UTF-8 (it may be cut inside of a character), which is not supported here',
  },
  {
    what: 'decodes nothing but UTF-8',
    template: '{{b64dec "/w==" | len}}',
    ofGo: '1',
    ours: 'template: t:1:2: executing "t" at <b64dec "/w==">: error calling b64dec: the result is no UTF-8 (it may be cut inside of a character), which is not supported here',
  },
  {
    what: 'leaves a list as it is when it is sorted',
    template: '{{$l := splitList "," "b,a"}}{{$_ := sortAlpha $l}}{{$l}}',
    ofGo: '[a b]',
    ours: '[b a]',
  },
  { what: 'copies a version with what it is', template: '{{deepCopy (semver "1.2.3")}}', ofGo: '0.0.0', ours: '1.2.3' },
  {
    what: 'refuses a map that holds itself',
    template: '{{$d := dict}}{{$_ := set $d "d" $d}}',
    ofGo: '',
    ours: 'template: t:1:22: executing "t" at <set $d "d" $d>: error calling set: a map cannot hold itself',
  },
  {
    what: 'refuses two groups of one name in an expression',
    template: '{{mustRegexFind "(?P<n>a)(?P<n>b)" "ab"}}',
    ofGo: 'ab',
    ours: 'template: t:1:2: executing "t" at <mustRegexFind "(?P<n>a)(?P<n>b)" "ab">: error calling mustRegexFind: error parsing regexp: duplicate capture group name: `n`',
  },
  {
    what: 'makes no list of more than 100 000 items',
    template: '{{until 100001 | len}}',
    ofGo: '100001',
    ours: 'template: t:1:2: executing "t" at <until 100001>: error calling until: it makes a list of more than 100000 items',
  },
  {
    what: 'reads JSON less deep',
    template: '{{mustFromJson (print (repeat 1001 "[") (repeat 1001 "]")) | len}}',
    ofGo: '1',
    ours: 'template: t:1:2: executing "t" at <mustFromJson (print (repeat 1001 "[") (repeat 1001 "]"))>: error calling mustFromJson: exceeded max depth',
  },
  {
    what: 'shows the local mean time of long ago by its offset',
    template: '{{dateInZone "MST" -2500000000 "Europe/Berlin"}}',
    ofGo: 'LMT',
    ours: '+0053',
  },
];

describe('sprig, otherwise than that of Go,', () => {
  const cases = DIFFERENCES.map(({ template }): TemplateCase => ({ template, data: SPRIG_DATA, functions: 'sprig' }));
  let answers: readonly Answer[] = [];
  beforeAll(async () => {
    answers = await answersOfGo(cases);
  });

  it.each(DIFFERENCES.map((difference, place) => ({ ...difference, place })))('$what', ({ template, ofGo, ours, place }) => {
    const answer = answers[place];
    expect(answer?.output ?? answer?.error).toBe(ofGo);
    const own = ownAnswer({ template, data: SPRIG_DATA, functions: 'sprig' });
    expect(own.output ?? own.error).toBe(ours);
  });

  it('has the keys and values of a map in the order of the keys, which is by chance in Go', () => {
    const template = '{{keys .map}} {{values (omit .map "c")}}';
    expect(ownAnswer({ template, data: SPRIG_DATA, functions: 'sprig' }).output).toBe('[a b c f] [1 two 1.5]');
  });
});
