import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { bodySignature, timestampedSignature } from './signature.js';

// Each expected value was computed by another program, with the command above it.
const BODY = Buffer.from('{"total":3}');
const CURRENT = Buffer.from('topsecret');
const PREVIOUS = Buffer.from('oldsecret');
const AT = { seconds: 1767323045, id: 'c0ffee' };

describe('bodySignature', () => {
  it('is the HMAC of the body in lower-case hex', () => {
    // printf '%s' '{"total":3}' | openssl dgst -sha256 -hmac topsecret
    expect(bodySignature('SHA256', { current: CURRENT }, BODY)).toBe('39a0dbec459512e4696582649b31a4f7b436f6c32cc009e4d461b35eaf2dfa5d');
    // printf '%s' '{"total":3}' | openssl dgst -sha512 -hmac topsecret
    expect(bodySignature('SHA512', { current: CURRENT }, BODY)).toBe(
      'e7b35b68b9e654943889699d6eea79178f8fa482faf894b889f5441f04774ec9ad668a733db255eac106f14946145960e4deb42a3ffe6acd7cd368540181fa4f',
    );
  });

  it('takes keys and bodies as bytes', () => {
    // python3 -c "import hmac; print(hmac.new(b'\x00\xff\x80key', 'Größe'.encode(), 'sha256').hexdigest())"
    const key = Buffer.from([0x00, 0xff, 0x80, 0x6b, 0x65, 0x79]);
    expect(bodySignature('SHA256', { current: key }, Buffer.from('Größe'))).toBe(
      '05daa90812404a083246142c10b026a9371c860f8ab56c5dce068f333efa2675',
    );
  });

  it('is by the current key alone while keys rotate', () => {
    const keys = { current: CURRENT, previous: PREVIOUS };
    expect(bodySignature('SHA256', keys, BODY)).toBe(bodySignature('SHA256', { current: CURRENT }, BODY));
  });
});

describe('timestampedSignature', () => {
  it('covers the time, the id and the body', () => {
    // python3 -c "import hmac; print(hmac.new(b'topsecret', b'1767323045.c0ffee.{\"total\":3}', 'sha256').hexdigest())"
    const expected = 't=1767323045,v1=8e32cdf360c8614fb7f70147792500f47025e944253f2bee2593a064eaac2139';
    expect(timestampedSignature('SHA256', { current: CURRENT }, AT, BODY)).toBe(expected);
    // python3 -c "import hmac; print(hmac.new(b'topsecret', b'1767323045.c0ffee.{\"total\":3}', 'sha512').hexdigest())"
    expect(timestampedSignature('SHA512', { current: CURRENT }, AT, BODY)).toBe(
      't=1767323045,v1=0c794b7308b016bb1da261d4ffca35b1a991a1116f1e944c4564ecde71d481bc58d1510347eb900b641dde42d14ad47a159301aed3e2335e15db138a988068fa',
    );
    for (const other of [
      { ...AT, seconds: AT.seconds + 1 },
      { ...AT, id: 'c0ffe' },
    ]) {
      expect(timestampedSignature('SHA256', { current: CURRENT }, other, BODY)).not.toContain(expected.split('v1=')[1] ?? '');
    }
  });

  it('is by both keys while they rotate', () => {
    // python3 -c "import hmac; print(hmac.new(b'oldsecret', b'1767323045.c0ffee.{\"total\":3}', 'sha256').hexdigest())"
    expect(timestampedSignature('SHA256', { current: CURRENT, previous: PREVIOUS }, AT, BODY)).toBe(
      't=1767323045,v1=8e32cdf360c8614fb7f70147792500f47025e944253f2bee2593a064eaac2139,v1=aa991a99bdde0fc853275ad30e62e4e16f9afcf80b38290bc4192a511399bdff',
    );
  });
});

interface Verification {
  readonly verifyBody: (key: string, signature: string, body: Uint8Array) => boolean;
  readonly verifyTimestamped: (
    key: string,
    signature: string,
    id: string,
    body: Uint8Array,
    options: { now: number; tolerance?: number },
  ) => boolean;
}

describe('the verification in docs/triggers.md', () => {
  async function documented(): Promise<Verification> {
    const text = await readFile(new URL('../../../docs/triggers.md', import.meta.url), 'utf8');
    const [, code = ''] = /```js\n([^]*?)```/.exec(text) ?? [];
    return (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as Verification;
  }

  it('takes the signature of the body by the right key only', async () => {
    const { verifyBody } = await documented();
    const signature = bodySignature('SHA256', { current: CURRENT }, BODY);
    expect(verifyBody('topsecret', signature, BODY)).toBe(true);
    expect(verifyBody('other', signature, BODY)).toBe(false);
    expect(verifyBody('topsecret', signature, Buffer.from('{"total":4}'))).toBe(false);
    expect(verifyBody('topsecret', '', BODY)).toBe(false);
  });

  it('takes a signature of a time by either key, for that id and for some minutes only', async () => {
    const { verifyTimestamped } = await documented();
    const signature = timestampedSignature('SHA256', { current: CURRENT, previous: PREVIOUS }, AT, BODY);
    const now = AT.seconds;
    for (const key of ['topsecret', 'oldsecret']) expect(verifyTimestamped(key, signature, AT.id, BODY, { now: now + 299 })).toBe(true);
    expect(verifyTimestamped('other', signature, AT.id, BODY, { now })).toBe(false);
    expect(verifyTimestamped('topsecret', signature, 'c0ffe', BODY, { now })).toBe(false);
    expect(verifyTimestamped('topsecret', signature, AT.id, Buffer.from('{"total":4}'), { now })).toBe(false);
    expect(verifyTimestamped('topsecret', signature, AT.id, BODY, { now: now + 301 })).toBe(false);
    expect(verifyTimestamped('topsecret', signature.replace('t=', 't=x'), AT.id, BODY, { now })).toBe(false);
  });
});
