import { describe, expect, it } from '@jest/globals';
import { serviceProgram } from '@harikube/platform';
import { optionalWebhookSettings, WEBHOOK_FLAGS, type WebhookSettings } from './webhook-flags.js';

function settingsOf(...argv: string[]): WebhookSettings | null {
  let read: WebhookSettings | null = null;
  serviceProgram({
    name: 'sample',
    summary: '',
    flags: WEBHOOK_FLAGS,
    configure: (settings, common) => {
      read = optionalWebhookSettings(settings);
      return common;
    },
    start: () => Promise.reject(new Error('it was started')),
  }).prepare(argv, {});
  return read;
}

describe('optionalWebhookSettings', () => {
  it('serve no webhook unless the folder of a certificate is given', () => {
    expect(settingsOf()).toBeNull();
    expect(settingsOf('--webhook-cert-path=/certs', '--webhook-bind-address=127.0.0.1:0')).toEqual({
      listen: { host: '127.0.0.1', port: 0 },
      tls: { folder: '/certs', certName: 'tls.crt', keyName: 'tls.key' },
    });
  });

  it('refuse what means nothing without it', () => {
    expect(() => settingsOf('--webhook-bind-address=:9443', '--webhook-cert-name=a.crt')).toThrow(
      expect.objectContaining({
        reasons: [
          '--webhook-bind-address=:9443 means nothing without --webhook-cert-path',
          '--webhook-cert-name=a.crt means nothing without --webhook-cert-path',
        ],
      }),
    );
  });
});
