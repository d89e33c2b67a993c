import { describe, expect, it } from '@jest/globals';
import { createOptions } from './create-options.js';

const read = (query: string, agent?: string): ReturnType<typeof createOptions> => createOptions(new URLSearchParams(query), agent);

describe('createOptions', () => {
  it('reads them, with what holds without them', () => {
    expect(read('', 'kubectl/v1.36.3 (linux/amd64)')).toEqual({ isDryRun: false, fieldValidation: 'Warn', fieldManager: 'kubectl' });
    expect(read('dryRun=All&fieldValidation=Strict&fieldManager=me')).toEqual({
      isDryRun: true,
      fieldValidation: 'Strict',
      fieldManager: 'me',
    });
    expect(read('dryRun=&fieldValidation=').fieldManager).toBe('unknown');
  });

  it('refuses what they cannot be, all at once', () => {
    expect(() => read(`dryRun=Some&fieldValidation=Loose&fieldManager=${'x'.repeat(129)}`)).toThrow(
      'CreateOptions.meta.k8s.io "" is invalid: [dryRun: Unsupported value: "Some": supported values: "All", fieldValidation: Unsupported value: "Loose": supported values: "Ignore", "Strict", "Warn", fieldManager: Too long: may not be more than 128 bytes]',
    );
    expect(() => read('fieldManager=a%0ab')).toThrow('should only contain printable characters');
  });
});
