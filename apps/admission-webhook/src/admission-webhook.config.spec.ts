import { describe, expect, it } from '@jest/globals';
import { admissionWebhookProgram } from './admission-webhook.js';

const prepare = (...argv: string[]): unknown => admissionWebhookProgram.prepare(argv, {});

describe('the settings of the admission webhook', () => {
  it('need the folder of the certificate and nothing else', () => {
    expect(() => prepare('--webhook-cert-path=certs')).not.toThrow();
    expect(() => prepare()).toThrow('--webhook-cert-path is not given; name the folder that holds tls.crt and tls.key');
  });

  it('name everything that cannot be used', () => {
    expect(() => prepare('--webhook-bind-address=0', '--argon2-memory-mib=4', '--max-concurrent-hashes=0')).toThrow(
      expect.objectContaining({
        reasons: [
          '--webhook-bind-address=0 would leave nothing to ask; write HOST:PORT',
          '--webhook-cert-path is not given; name the folder that holds tls.crt and tls.key',
          expect.stringContaining('--argon2-memory-mib=4'),
          expect.stringContaining('--max-concurrent-hashes=0'),
        ],
      }),
    );
  });

  it('say where the certificate is missing before anything is opened', async () => {
    const { createLogger, Registry } = await import('@harikube/platform');
    const logger = createLogger({ format: 'plain', debug: false, destination: { write: () => true } });
    const service = admissionWebhookProgram.prepare(['--webhook-cert-path=nowhere'], {});
    await expect(service.start({ logger, registry: new Registry() })).rejects.toThrow(/no TLS certificate to serve with: .*nowhere/);
  });
});
