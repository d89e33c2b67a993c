import { describe, expect, it } from '@jest/globals';
import { JsonPatch, type PatchOperation } from './json-patch.js';
import { applyPatch } from './spec/apply-patch.js';

function patched(object: Record<string, unknown>, change: (patch: JsonPatch) => void): readonly PatchOperation[] {
  const before = structuredClone(object);
  const patch = new JsonPatch(object);
  change(patch);
  expect(object).toEqual(before);
  expect(applyPatch(object, patch.operations)).toEqual(patch.result);
  return patch.operations;
}

describe('JsonPatch', () => {
  it('adds what is missing, replaces what differs, and leaves what is equal', () => {
    expect(patched({ spec: { a: 1 } }, (patch) => patch.set(['spec', 'b'], 2))).toEqual([{ op: 'add', path: '/spec/b', value: 2 }]);
    expect(patched({ spec: { a: 1 } }, (patch) => patch.set(['spec', 'a'], 2))).toEqual([{ op: 'replace', path: '/spec/a', value: 2 }]);
    expect(patched({ spec: { a: 1 } }, (patch) => patch.set(['spec', 'a'], 1))).toEqual([]);
  });

  it('makes the parents first, once, and in place of null', () => {
    const change = (patch: JsonPatch): void => {
      patch.set(['metadata', 'labels', 'a'], '1');
      patch.set(['metadata', 'labels', 'b'], '2');
    };
    expect(patched({}, change)).toEqual([
      { op: 'add', path: '/metadata', value: {} },
      { op: 'add', path: '/metadata/labels', value: {} },
      { op: 'add', path: '/metadata/labels/a', value: '1' },
      { op: 'add', path: '/metadata/labels/b', value: '2' },
    ]);
    expect(patched({ metadata: { labels: null } }, change)[0]).toEqual({ op: 'add', path: '/metadata/labels', value: {} });
    expect(() => patched({ metadata: { labels: 'x' } }, change)).toThrow('/metadata/labels is no object');
  });

  it('escapes the two characters that a pointer gives a meaning', () => {
    const path = ['metadata', 'annotations', 'a~b/c~1'];
    expect(patched({ metadata: { annotations: {} } }, (patch) => patch.set(path, ''))).toEqual([
      { op: 'add', path: '/metadata/annotations/a~0b~1c~01', value: '' },
    ]);
  });

  it('appends to a list, which it makes', () => {
    const change = (patch: JsonPatch): void => {
      patch.append(['metadata', 'finalizers'], 'x');
      patch.append(['metadata', 'finalizers'], 'x');
    };
    expect(patched({ metadata: {} }, change)).toEqual([{ op: 'add', path: '/metadata/finalizers', value: ['x'] }]);
    expect(patched({ metadata: { finalizers: null } }, change)).toEqual([{ op: 'replace', path: '/metadata/finalizers', value: ['x'] }]);
    expect(patched({ metadata: { finalizers: ['y'] } }, change)).toEqual([{ op: 'add', path: '/metadata/finalizers/-', value: 'x' }]);
    expect(patched({ metadata: { finalizers: ['x'] } }, change)).toEqual([]);
  });

  it('removes what is there, and nothing else', () => {
    expect(patched({ a: { b: 1 } }, (patch) => patch.remove(['a', 'b']))).toEqual([{ op: 'remove', path: '/a/b' }]);
    expect(patched({ a: { b: 1 } }, (patch) => patch.remove(['a', 'toString']))).toEqual([]);
    expect(patched({ a: 1 }, (patch) => patch.remove(['a', 'b', 'c']))).toEqual([]);
  });
});
