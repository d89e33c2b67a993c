import { describe, expect, it } from '@jest/globals';
import { StatusError } from '@harikube/kube';
import { decodeBody } from './body-decoder.js';

const SECRET = 'Plain-Canary-1';

function refusal(body: string | Buffer, type?: string): StatusError {
  try {
    decodeBody(Buffer.from(body), type);
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('decodeBody', () => {
  it('reads JSON and YAML, and without a type whichever it looks like', () => {
    for (const type of [undefined, 'application/json', 'application/json; charset=utf-8', 'application/yaml'])
      expect(decodeBody(Buffer.from(' {"a": {"b": [1, "x"]}}'), type).object).toEqual({ a: { b: [1, 'x'] } });
    expect(decodeBody(Buffer.from('---\na:\n  b: [1, x]\n'), undefined).object).toEqual({ a: { b: [1, 'x'] } });
    expect(decodeBody(Buffer.from('country: NO\nnumber: "+15551234567"'), 'application/yaml').object).toEqual({
      country: 'NO',
      number: '+15551234567',
    });
  });

  it('names the fields of JSON that are there twice', () => {
    const body = '{"a":1,"a":2,"b":{"c":1,"c":"{\\"c\\":1}","d":[{"e":1},{"e":1,"e":2}]},"f":{"a":1},"g":"a\\":1,","a":3}';
    const { object, duplicates } = decodeBody(Buffer.from(body), undefined);
    expect(duplicates).toEqual(['duplicate field "a"', 'duplicate field "b.c"', 'duplicate field "b.d[1].e"']);
    expect(object['a']).toBe(3);
  });

  it('names the keys of YAML that are there twice, as Go does', () => {
    const { object, duplicates } = decodeBody(Buffer.from('a: 1\nb:\n  c: 1\n  c: 2\n'), 'application/yaml');
    expect(duplicates).toEqual(['yaml: unmarshal errors:\n  line 4: key "c" already set in map']);
    expect(object).toEqual({ a: 1, b: { c: 2 } });
  });

  it('refuses what it cannot read, and shows none of it', () => {
    const bodies: [string | Buffer, string | undefined][] = [
      [`{"password": "${SECRET}", `, undefined],
      [`{"password": ${SECRET}}`, 'application/json'],
      [`password: "${SECRET}`, 'application/yaml'],
      [`{password: ${SECRET}`, 'application/yaml'],
      [`a: &a ${SECRET}\nb: *c`, 'application/yaml'],
      [`a: 1\n---\npassword: ${SECRET}`, 'application/yaml'],
      [`- ${SECRET}`, undefined],
      [JSON.stringify(SECRET), 'application/json'],
      ['', undefined],
      [' \n', 'application/yaml'],
      [Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), undefined],
      [`{"a":${'['.repeat(200)}${']'.repeat(200)}}`, undefined],
    ];
    for (const [body, type] of bodies) {
      const error = refusal(body, type);
      expect(error.code).toBe(400);
      expect(JSON.stringify(error.status)).not.toContain(SECRET);
    }
  });

  it('refuses other types, and YAML that grows or is long', () => {
    for (const type of ['application/vnd.kubernetes.protobuf', 'application/cbor', 'application/x-www-form-urlencoded'])
      expect(refusal('{}', type)).toMatchObject({
        code: 415,
        message: 'the body of the request was in an unknown format - accepted media types include: application/json, application/yaml',
      });
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x,x]',
      ...['b', 'c', 'd', 'e', 'f'].map((name, index) => `${name}: &${name} [${Array(10).fill(`*${'abcde'[index]}`).join(',')}]`),
    ];
    expect(refusal(bomb.join('\n'), 'application/yaml').code).toBe(400);
    expect(refusal(`a: ${'x'.repeat(300_000)}`, 'application/yaml').code).toBe(413);
  });

  it('takes no field for something that an object inherits', () => {
    const { object } = decodeBody(Buffer.from('{"__proto__":{"kind":"x"}}'), undefined);
    expect(object['kind']).toBeUndefined();
  });
});
