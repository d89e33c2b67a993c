import { describe, expect, it } from '@jest/globals';
import { type Service, serviceOrigin, type ServiceTarget } from './service-address.js';

const ONE = [{ name: 'web', port: 8080 }];
const TWO = [...ONE, { name: 'admin', port: 9090 }];

function originOf(target: Partial<ServiceTarget>, spec: Service['spec']): string {
  const origin = serviceOrigin(
    { name: 'gateway', namespace: 'faas', scheme: 'http', ...target },
    { metadata: { name: 'gateway', namespace: 'faas' }, spec },
  );
  return typeof origin === 'string' ? `no: ${origin}` : origin.origin;
}

describe('serviceOrigin', () => {
  it.each<[string, Partial<ServiceTarget>, Service['spec'], string]>([
    ['the only port', {}, { ports: ONE }, 'http://gateway.faas.svc:8080'],
    ['a port by its name', { portName: 'admin' }, { ports: TWO }, 'http://gateway.faas.svc:9090'],
    ['a port without a name', {}, { ports: [{ port: 80 }] }, 'http://gateway.faas.svc'],
    ['the scheme of the trigger', { scheme: 'https' }, { ports: ONE }, 'https://gateway.faas.svc:8080'],
    [
      'the name that a Service stands for',
      {},
      { type: 'ExternalName', externalName: 'example.com.', ports: ONE },
      'http://example.com:8080',
    ],
    ['the port of the scheme', { scheme: 'https' }, { type: 'ExternalName', externalName: 'example.com' }, 'https://example.com'],
  ])('leads to %s', (_what, target, spec, origin) => {
    expect(originOf(target, spec)).toBe(origin);
  });

  it.each<[string, Partial<ServiceTarget>, Service['spec'], string]>([
    ['no ports', {}, {}, 'no: the Service faas/gateway has no ports'],
    ['no such port', { portName: 'x' }, { ports: TWO }, 'no: the Service faas/gateway has no port with the name x'],
    ['several ports', {}, { ports: TWO }, 'no: the Service faas/gateway has 2 ports, and url.service.portName says none of them'],
    [
      'no such port of a name',
      { portName: 'x' },
      { type: 'ExternalName', externalName: 'example.com' },
      'no: the Service faas/gateway has no port with the name x',
    ],
    ['no externalName', {}, { type: 'ExternalName', ports: ONE }, 'no: the Service faas/gateway has no externalName'],
    ['no host', {}, { type: 'ExternalName', externalName: 'a b' }, 'no: the Service faas/gateway leads to http://a b, which is no URL'],
  ])('says of a Service with %s why it leads nowhere', (_what, target, spec, sentence) => {
    expect(originOf(target, spec)).toBe(sentence);
  });
});
