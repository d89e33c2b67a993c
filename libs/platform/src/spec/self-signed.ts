import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

export interface Pem {
  readonly cert: string;
  readonly key: string;
}

/** A key of its own and a certificate of a name for it, signed by itself; Node reads certificates and cannot make them. */
export function selfSigned(commonName: string, notAfter = new Date('2099-01-01T00:00:00Z')): Pem {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(0x30, Buffer.from('06082a8648ce3d040302', 'hex'));
  const name = der(0x30, der(0x31, der(0x30, Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from(commonName)))));
  const serial = der(0x02, Buffer.from([1]), randomBytes(8));
  const validity = der(0x30, time(new Date('2020-01-01T00:00:00Z')), time(notAfter));
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const version = der(0xa0, Buffer.from('020102', 'hex'));
  const body = der(0x30, version, serial, algorithm, name, validity, name, spki);
  const signature = der(0x03, Buffer.from([0]), sign('sha256', body, privateKey));
  const base64 = der(0x30, body, algorithm, signature).toString('base64').replace(/.{64}/g, '$&\n');
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** One value in ASN.1's DER. */
function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}

function time(date: Date): Buffer {
  return der(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]|\..*/g, '')}Z`));
}
