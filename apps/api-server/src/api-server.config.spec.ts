import { describe, expect, it } from '@jest/globals';
import { apiServerProgram } from './api-server.js';

describe('the flags of api-server', () => {
  it('are taken when all can be used', () => {
    const prepared = apiServerProgram.prepare(
      ['--api-service-cert-path=/tls', '--secure-bind-address=127.0.0.1:0', '--shutdown-delay-duration=0s'],
      {},
    );
    expect(prepared.name).toBe('api-server');
    expect(apiServerProgram.usage()).toContain('--api-service-cert-path');
  });

  it('are refused together, each with the way out', () => {
    expect(() => apiServerProgram.prepare(['--secure-bind-address=0', '--max-requests-inflight=0'], {})).toThrow(
      /--secure-bind-address=0 would serve nothing[^]*--api-service-cert-path is missing[^]*--max-requests-inflight=0 is not usable; use 1 to 100000/,
    );
  });
});
