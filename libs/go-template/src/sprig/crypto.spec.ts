import { describe, expect, it } from '@jest/globals';
import { Template } from '../template.js';

function rendered(text: string, values: unknown = {}): string {
  return Template.parse(text, { name: 'crypto' }).execute(values);
}

describe('the random functions of sprig', () => {
  it.each([
    ['{{randAlpha 40}}', /^[A-Za-z]{40}$/],
    ['{{randNumeric 40}}', /^\d{40}$/],
    ['{{randAlphaNum 40}}', /^[A-Za-z0-9]{40}$/],
    ['{{randAscii 40}}', /^[ -~]{40}$/],
    ['{{randBytes 30}}', /^[A-Za-z0-9+/]{40}$/],
    ['{{uuidv4}}', /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/],
    ['{{bcrypt "secret"}}', /^\$2a\$10\$[./A-Za-z0-9]{53}$/],
    ['{{htpasswd "ada" "secret"}}', /^ada:\$2a\$10\$[./A-Za-z0-9]{53}$/],
    ['{{encryptAES "key" "text"}}', /^[A-Za-z0-9+/]{43}=$/],
  ])('make of %j a text of its shape, another one each time', (text, shape) => {
    const [one, other] = [rendered(text), rendered(text)];
    expect(one).toMatch(shape);
    expect(one).not.toBe(other);
  });

  it('make a number in the range, with its start and without its end', () => {
    const numbers = new Set(rendered('{{range until 200}}{{randInt -2 1}} {{end}}').trim().split(' '));
    expect([...numbers].sort()).toEqual(['-1', '-2', '0']);
  });

  it('put the same characters in another order', () => {
    const shuffled = rendered('{{shuffle "żółw, abcdefghijklmnopqrstuvwxyz😀"}}');
    expect([...shuffled].sort()).toEqual([...'żółw, abcdefghijklmnopqrstuvwxyz😀'].sort());
    expect(shuffled).not.toBe('żółw, abcdefghijklmnopqrstuvwxyz😀');
  });
});

describe('decryptAES', () => {
  it('reads what Go has enciphered', () => {
    expect(rendered('{{decryptAES "secretkey" "K4zRGdlh9+7XU0NmdKe5fBAmiK5iNQmq+QskzQ895+s="}}')).toBe('plain żółw');
  });
});

describe('buildCustomCert', () => {
  // Of a certificate for tests, which nobody trusts.
  const key = [
    '-----BEGIN PRIVATE KEY-----',
    'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfN41Tvb7nWm1niNt',
    'I0wGhruxqDtatTSQGsWh2J5nGp+hRANCAAQWTSU/GEormKrrAA2IsoeTB4aioXeL',
    'mTYXhaw13nxqKxEAMm1kjNG4Vmr40xsilBG1yvc2b6xa/LetjLrlh9X2',
    '-----END PRIVATE KEY-----',
    '',
  ].join('\n');
  const cert = [
    '-----BEGIN CERTIFICATE-----',
    'MIIBdDCCARugAwIBAgIUN9Prxy++HX6/p1+arAwBDIrag54wCgYIKoZIzj0EAwIw',
    'DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjYxNDUzMjNaGA8yMTI2MTEwMjE0NTMy',
    'M1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBZN',
    'JT8YSiuYqusADYiyh5MHhqKhd4uZNheFrDXefGorEQAybWSM0bhWavjTGyKUEbXK',
    '9zZvrFr8t62MuuWH1fajUzBRMB0GA1UdDgQWBBSfoU6T9aR6wuoU9Pwge4UESRan',
    'cDAfBgNVHSMEGDAWgBSfoU6T9aR6wuoU9Pwge4UESRancDAPBgNVHRMBAf8EBTAD',
    'AQH/MAoGCCqGSM49BAMCA0cAMEQCIBolXIqjZM4AVbaLlOLauk/f1SJK0CbMzTUD',
    'B6Rwz9kWAiA5bHPDO9aXI4eps4nXMij4PHCZXaHOhp5B8XOolda0zg==',
    '-----END CERTIFICATE-----',
    '',
  ].join('\n');
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const text = '{{$c := buildCustomCert .cert .key}}{{$c.Cert}}{{$c.Key}}';

  it('gives certificate and key', () => {
    expect(rendered(text, { cert: base64(cert), key: base64(key) })).toBe(cert + key);
  });

  it.each([
    ['!', '', 'unable to decode base64 certificate'],
    [base64(cert), '!', 'unable to decode base64 private key'],
    [base64('x'), base64(key), 'unable to decode certificate'],
    [base64(cert.replace('MII', 'AAA')), base64(key), 'error parsing certificate: decodedCert.Bytes: '],
    [base64(cert), base64('x'), 'error parsing private key: '],
  ])('refuses what is none', (wrongCert, wrongKey, problem) => {
    expect(() => rendered(text, { cert: wrongCert, key: wrongKey })).toThrow(problem);
  });
});
