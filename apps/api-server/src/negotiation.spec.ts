import { describe, expect, it } from '@jest/globals';
import { acceptedType, isPretty, negotiate, type Shape } from './negotiation.js';

const ALL: Shape[] = ['object', 'table', 'metadata'];

describe('negotiate', () => {
  it('takes the first clause that it can serve, by quality', () => {
    expect(negotiate(undefined, ALL)).toEqual({ mediaType: 'application/json', shape: 'object' });
    expect(negotiate('*/*', ALL)).toEqual({ mediaType: 'application/json', shape: 'object' });
    expect(negotiate('application/yaml', ALL).mediaType).toBe('application/yaml');
    expect(negotiate('application/json;q=0.1, application/yaml;q=0.9', ALL).mediaType).toBe('application/yaml');
    expect(negotiate('application/vnd.kubernetes.protobuf,application/json', ALL).mediaType).toBe('application/json');
    expect(negotiate('application/vnd.kubernetes.protobuf;q=1,*/*;q=0.1', ALL).mediaType).toBe('application/json');
  });

  it('turns the object into what is asked for when it can be that', () => {
    const table = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json';
    expect(negotiate(table, ALL).shape).toBe('table');
    expect(negotiate(table, ['object']).shape).toBe('object');
    expect(negotiate('application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1', ALL).shape).toBe('metadata');
    expect(negotiate('application/json;as=Chair;g=meta.k8s.io;v=v1, application/json', ALL).shape).toBe('object');
    expect(negotiate('application/json;profile=nopeer', ALL).shape).toBe('object');
  });

  it('refuses when nothing is left', () => {
    for (const accept of [
      'application/vnd.kubernetes.protobuf',
      'text/html',
      'application/cbor',
      'application/json;q=0',
      'application/json;as=Table;g=x;v=v1',
    ])
      expect(() => negotiate(accept, ALL)).toThrow('only the following media types are accepted: application/json, application/yaml');
  });
});

describe('acceptedType', () => {
  it('is one of those that are served', () => {
    expect(acceptedType('text/html,*/*;q=0.1', ['application/json'])).toBe('application/json');
    expect(acceptedType('application/*', ['application/json'])).toBe('application/json');
    expect(() => acceptedType('application/com.github.proto-openapi.spec.v2.v1.0+protobuf', ['application/json'])).toThrow(
      'only the following',
    );
  });
});

describe('isPretty', () => {
  it('is what is asked for, and else for people', () => {
    expect(isPretty(new URLSearchParams('pretty=true'), undefined)).toBe(true);
    expect(isPretty(new URLSearchParams('pretty=false'), 'curl/8')).toBe(false);
    expect(isPretty(new URLSearchParams(), 'Mozilla/5.0')).toBe(true);
    expect(isPretty(new URLSearchParams(), 'kubectl/v1.36')).toBe(false);
  });
});
