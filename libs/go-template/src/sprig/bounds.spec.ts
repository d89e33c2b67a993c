import { describe, expect, it } from '@jest/globals';
import { Template } from '../template.js';

function rendered(text: string, values: unknown = {}): string {
  return Template.parse(text, { name: 'bounded' }).execute(values);
}

describe('the functions of sprig', () => {
  it.each([
    ['{{repeat 5000000000 "ab"}}', 'it makes a text of more than'],
    ['{{indent 9000000000 "a"}}', 'it makes a text of more than'],
    ['{{nindent 4000000 "a\\nb\\nc"}}', 'it makes a text of more than'],
    ['{{replace "" (repeat 3000 "x") (repeat 3000 "y")}}', 'it makes a text of more than'],
    ['{{join (repeat 3000 "x") (until 3000)}}', 'it makes a text of more than'],
    ['{{wrapWith 1 (repeat 3000 "x") (repeat 3000 "y")}}', 'it makes a text of more than'],
    ['{{regexReplaceAll "" (repeat 3000 "y") (repeat 3000 "x")}}', 'it makes a text of more than'],
    ['{{randAlpha 9000000000}}', 'it makes a text of more than'],
    ['{{randBytes 9000000000}}', 'it makes a text of more than'],
    ['{{until 9000000000000}}', 'it makes a list of more than'],
    ['{{untilStep -9223372036854775808 9223372036854775807 1}}', 'it makes a list of more than'],
    ['{{seq 1 9000000000000}}', 'it makes a list of more than'],
    // On a slow machine the time is over before the list is too long.
    ['{{regexFindAll "" (repeat 150000 "x") -1 | len}}', /it makes a list of more than|takes more than/],
    ['{{regexSplit "" (repeat 150000 "x") -1 | len}}', /it makes a list of more than|takes more than/],
    ['{{splitList "" (repeat 150000 "x") | len}}', 'it makes a list of more than'],
    ['{{mustFromJson (print "[" (repeat 150000 "1,") "1]") | len}}', 'it makes a list of more than'],
    ['{{regexMatch (repeat 20000 "x") "x"}}', 'a regular expression of more than'],
    ['{{regexMatch "y{1000}[^x]{1000}" (repeat 1000000 "x")}}', 'too large for a text of this length'],
    ['{{semverCompare (repeat 20000 "1") "1.0.0"}}', 'constraints of more than'],
    ['{{randInt 0 9223372036854775807}}', 'a range of more than'],
  ])('refuse %j before they make it', (text, problem) => {
    expect(() => rendered(text)).toThrow(problem);
  });

  it('end a search that would take long', () => {
    // Each match looks through all of the rest for what is not there.
    expect(() => rendered('{{regexFindAll "a.*z|a" (repeat 90000 "a") -1 | len}}')).toThrow('the regular expression takes more than');
  });

  it.each([['{{regexMatch "(a*)*[bc]" .x}}'], ['{{regexMatch "(a|aa)+$" .x}}'], ['{{regexReplaceAll "(a+a+)+$" .x "z" | len}}']])(
    'search in linear time: %j',
    (text) => {
      expect(() => rendered(text, { x: `${'a'.repeat(50_000)}!` })).not.toThrow();
    },
  );

  it.each([
    ['{{trim .x | len}}', `x${' '.repeat(500_000)}x`],
    ['{{int .x}}', `0x${'a'.repeat(500_000)}__`],
    ['{{float64 .x}}', `${'1'.repeat(500_000)}x`],
    ['{{semverCompare .x "1.0.0"}}', `1.0.0${' 1.0.0'.repeat(1600)}`],
    ['{{nospace .x | len}}', ' '.repeat(500_000)],
    ['{{ext .x | len}}', '.'.repeat(500_000)],
    ['{{regexMatch "^v?[0-9]+$" .x}}', '1'.repeat(500_000)],
  ])('take no longer for %j than its text is long', (text, x) => {
    expect(() => rendered(text, { x })).not.toThrow();
  });

  it('refuse a map that would hold itself', () => {
    expect(() => rendered('{{$d := dict}}{{set $d "self" $d}}')).toThrow('a map cannot hold itself');
    expect(() => rendered('{{$d := dict}}{{$e := dict "in" (list $d)}}{{merge $d (dict "e" $e)}}')).toThrow('a map cannot hold itself');
    expect(rendered('{{$e := dict}}{{$d := dict "e" $e "f" $e}}{{$d}}')).toBe('map[e:map[] f:map[]]');
  });

  it('never change the data of the caller', () => {
    const data = { map: { a: 1, in: { x: 1 } }, list: [2, 1] };
    const text =
      '{{set .map "b" 2}}{{unset .map "a"}}{{merge .map (dict "in" (dict "y" 2))}}{{set .map.in "x" 5}}{{append .list 3}}{{sortAlpha .list}}';
    rendered(text, data);
    expect(data).toEqual({ map: { a: 1, in: { x: 1 } }, list: [2, 1] });
  });

  it.each([
    'env "HOME"',
    'expandenv "$HOME"',
    'getHostByName "localhost"',
    'genPrivateKey "rsa"',
    'genCA "ca" 1',
    'genSelfSignedCert "a" nil nil 1',
  ])('are without %s', (call) => {
    const [name = ''] = call.split(' ');
    expect(() => rendered(`{{${call}}}`)).toThrow(`function "${name}" not defined`);
  });
});
