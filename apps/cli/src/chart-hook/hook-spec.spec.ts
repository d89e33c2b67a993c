import { describe, expect, it } from '@jest/globals';
import { objectsOf, parseSpec } from './hook-spec.js';

describe('parseSpec', () => {
  it.each([
    ['{', '--spec is not JSON'],
    ['1', '--spec is no JSON object'],
    ['{"namespace":"a"}', '--spec has no secret'],
  ])('refuses %s', (text, message) => {
    expect(() => parseSpec<{ namespace: string; secret: string }>(text, ['namespace', 'secret'])).toThrow(message);
  });
});

describe('objectsOf', () => {
  it('reads documents, also none', () => {
    expect(objectsOf('\n---\n', 'a.yaml')).toEqual([]);
    const text = '---\napiVersion: v1\nkind: Secret\nmetadata: { name: a }\n';
    expect(objectsOf(text, 'a.yaml')).toEqual([{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }]);
  });

  it('refuses what is no object, with the name of the file', () => {
    expect(() => objectsOf('[1]', 'a.yaml')).toThrow('a.yaml');
    expect(() => objectsOf('a: [', 'a.yaml')).toThrow('a.yaml is not YAML');
  });
});
