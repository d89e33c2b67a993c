import { createPrivateKey, createPublicKey, KeyObject, randomBytes, webcrypto, X509Certificate as NodeCertificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type * as X509 from '@peculiar/x509';
import { errorCode } from './setup-error.js';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { ...ALGORITHM, hash: 'SHA-256' } as const;
const DAY = 24 * 60 * 60 * 1000;
const AUTHORITY_DAYS = 3650;
const LEAF_DAYS = 365;
/** A certificate that ends sooner than this is made anew at a start. */
const RENEW_DAYS = 30;
/** An authority is renewed before one of its certificates could outlive it: whoever trusts the former has a year to learn the new one. */
const AUTHORITY_RENEW_DAYS = LEAF_DAYS + RENEW_DAYS;

/** A certificate and its private key, as PEM and as the files that hold them. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Everything that the control plane's parts prove themselves with. */
export interface Certificates {
  readonly authority: KeyPair;
  readonly apiServer: KeyPair;
  /** A member of system:masters. */
  readonly admin: KeyPair;
  readonly controllerManager: KeyPair;
  /** Signs only the certificate by which kube-apiserver calls aggregated API servers. */
  readonly frontProxyAuthority: KeyPair;
  readonly frontProxyClient: KeyPair;
  readonly serviceAccountKeyFile: string;
  readonly serviceAccountPublicKeyFile: string;
}

/** Common name of the front proxy's client certificate; kube-apiserver publishes it as the only one allowed. */
export const FRONT_PROXY_NAME = 'front-proxy-client';

const API_SERVER_NAMES = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'];
/** The first address of the default range of services, where the API server answers inside a cluster. */
const API_SERVER_ADDRESSES = ['10.0.0.1'];

/**
 * The certificates kept in `folder`: made at the first call and used again while they are valid for another 30 days. An authority is renewed with the
 * same key more than a year before it ends: what it has signed stays good, and until then the former and the renewed one are trusted alike, in a
 * kubeconfig once exported, too. The API server's names `apiServerAddresses` beside its usual ones.
 */
export async function loadCertificates(
  folder: string,
  now: Date = new Date(),
  apiServerAddresses: readonly string[] = [],
): Promise<Certificates> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const authority = await loadAuthority(folder, 'ca', 'harikube-ca', now);
  const frontProxyAuthority = await loadAuthority(folder, 'front-proxy-ca', 'harikube-front-proxy-ca', now);
  const serviceAccountKeyFile = join(folder, 'sa.key');
  const serviceAccountPublicKeyFile = join(folder, 'sa.pub');
  await makeServiceAccountKeys(serviceAccountKeyFile, serviceAccountPublicKeyFile);
  return {
    authority,
    apiServer: await loadLeaf(folder, authority, now, {
      file: 'apiserver',
      commonName: 'kube-apiserver',
      use: 'server',
      serverNames: API_SERVER_NAMES,
      serverAddresses: [...API_SERVER_ADDRESSES, ...apiServerAddresses],
    }),
    admin: await loadLeaf(folder, authority, now, { file: 'admin', commonName: 'admin', organizations: ['system:masters'], use: 'client' }),
    controllerManager: await loadLeaf(folder, authority, now, {
      file: 'controller-manager',
      commonName: 'system:kube-controller-manager',
      use: 'client',
    }),
    frontProxyAuthority,
    frontProxyClient: await loadLeaf(folder, frontProxyAuthority, now, {
      file: 'front-proxy-client',
      commonName: FRONT_PROXY_NAME,
      use: 'client',
    }),
    serviceAccountKeyFile,
    serviceAccountPublicKeyFile,
  };
}

/**
 * An authority kept in `folder` as `file`, without `.crt` and `.key`; kept and renewed as those of `loadCertificates`. A key whose certificate is lost
 * gets another one. Remove the key for an authority that nobody trusts yet.
 */
export async function loadAuthority(folder: string, file: string, commonName: string, now: Date = new Date()): Promise<KeyPair> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const kept = readPair(folder, file);
  if (kept !== null && isUsable(kept, now, AUTHORITY_RENEW_DAYS) && new NodeCertificate(kept.certificate).ca) return kept;
  const keys = (await readKeys(join(folder, `${file}.key`))) ?? (await generateKeys());
  const { BasicConstraintsExtension, KeyUsageFlags, KeyUsagesExtension, SubjectKeyIdentifierExtension, X509CertificateGenerator } =
    await x509();
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: [{ CN: [commonName] }],
      notBefore: new Date(now.getTime() - DAY),
      notAfter: new Date(now.getTime() + AUTHORITY_DAYS * DAY),
      keys,
      signingAlgorithm: SIGNING,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  );
  return writePair(folder, file, certificate, keys.privateKey);
}

export interface LeafOptions {
  /** Name of the two files, without `.crt` and `.key`. */
  readonly file: string;
  /** As a client: the user. */
  readonly commonName: string;
  /** As a client: the groups of the user. */
  readonly organizations?: readonly string[];
  readonly use: 'server' | 'client';
  /** What a server is called beside `localhost`. */
  readonly serverNames?: readonly string[];
  /** Where a server answers beside 127.0.0.1. */
  readonly serverAddresses?: readonly string[];
}

/** A certificate for a program on this machine, signed by the control plane's authority; kept and renewed as those of `loadCertificates`. */
export async function loadCertificate(
  folder: string,
  { authority }: Pick<Certificates, 'authority'>,
  options: LeafOptions,
): Promise<KeyPair> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return await loadLeaf(folder, authority, new Date(), options);
}

async function loadLeaf(folder: string, authority: KeyPair, now: Date, options: LeafOptions): Promise<KeyPair> {
  const kept = readPair(folder, options.file);
  if (
    kept !== null &&
    isUsable(kept, now, RENEW_DAYS) &&
    new NodeCertificate(kept.certificate).verify(new NodeCertificate(authority.certificate).publicKey) &&
    isFor(new NodeCertificate(kept.certificate), options)
  ) {
    return kept;
  }
  const {
    AuthorityKeyIdentifierExtension,
    BasicConstraintsExtension,
    ExtendedKeyUsage,
    ExtendedKeyUsageExtension,
    KeyUsageFlags,
    KeyUsagesExtension,
    SubjectAlternativeNameExtension,
    SubjectKeyIdentifierExtension,
    X509Certificate,
    X509CertificateGenerator,
  } = await x509();
  const issuer = new X509Certificate(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', derOf(createPrivateKey(authority.key)), ALGORITHM, false, ['sign']);
  const keys = await generateKeys();
  const extensions: X509.Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([options.use === 'server' ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth]),
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
    await AuthorityKeyIdentifierExtension.create(issuer),
  ];
  if (options.use === 'server') {
    extensions.push(
      new SubjectAlternativeNameExtension([
        ...['localhost', ...(options.serverNames ?? [])].map((value) => ({ type: 'dns' as const, value })),
        ...['127.0.0.1', ...(options.serverAddresses ?? [])].map((value) => ({ type: 'ip' as const, value })),
      ]),
    );
  }
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: [...(options.organizations ?? []).map((name) => ({ O: [name] })), { CN: [options.commonName] }],
      issuer: issuer.subject,
      notBefore: new Date(now.getTime() - DAY),
      notAfter: new Date(now.getTime() + LEAF_DAYS * DAY),
      publicKey: keys.publicKey,
      signingKey,
      signingAlgorithm: SIGNING,
      extensions,
    },
    webcrypto,
  );
  return writePair(folder, options.file, certificate, keys.privateKey);
}

async function makeServiceAccountKeys(keyFile: string, publicKeyFile: string): Promise<void> {
  let key = readIfThere(keyFile);
  if (key === null) {
    const keys = await generateKeys();
    key = pemOf(keys.privateKey);
    writeWhole(keyFile, key, 0o600);
  }
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
  if (readIfThere(publicKeyFile) !== publicKey) writeWhole(publicKeyFile, publicKey, 0o644);
}

/** Still good for so many days, and certificate and key belong together (a crash between writing the two leaves a pair that does not). */
function isUsable(pair: KeyPair, now: Date, days: number): boolean {
  const certificate = new NodeCertificate(pair.certificate);
  return certificate.validToDate.getTime() > now.getTime() + days * DAY && certificate.checkPrivateKey(createPrivateKey(pair.key));
}

/** Whether a certificate says what is asked for: a later version of its program may be called otherwise. */
function isFor(
  certificate: NodeCertificate,
  { commonName, organizations = [], serverNames = [], serverAddresses = [] }: LeafOptions,
): boolean {
  return (
    certificate.subject === [...organizations.map((name) => `O=${name}`), `CN=${commonName}`].join('\n') &&
    serverNames.every((name) => certificate.checkHost(name) !== undefined) &&
    serverAddresses.every((address) => certificate.checkIP(address) !== undefined)
  );
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

/** Null: there is none of the kind that is made here. */
async function readKeys(keyFile: string): Promise<webcrypto.CryptoKeyPair | null> {
  const pem = readIfThere(keyFile);
  const key = pem === null ? null : createPrivateKey(pem);
  if (key?.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return null;
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return {
    privateKey: await webcrypto.subtle.importKey('pkcs8', derOf(key), ALGORITHM, true, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', publicKey, ALGORITHM, true, ['verify']),
  };
}

/** Loaded where a certificate is made: every program of ours starts without it. */
async function x509(): Promise<typeof X509> {
  await import('reflect-metadata');
  const library = await import('@peculiar/x509');
  library.cryptoProvider.set(webcrypto);
  return library;
}

function derOf(privateKey: KeyObject): Buffer {
  return privateKey.export({ type: 'pkcs8', format: 'der' });
}

function pemOf(privateKey: webcrypto.CryptoKey): string {
  return KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' }) as string;
}

function serialNumber(): string {
  // Positive in DER whatever the random bits are, and never zero.
  return `01${randomBytes(15).toString('hex')}`;
}

function readPair(folder: string, file: string): KeyPair | null {
  const certificateFile = join(folder, `${file}.crt`);
  const keyFile = join(folder, `${file}.key`);
  const certificate = readIfThere(certificateFile);
  const key = readIfThere(keyFile);
  return certificate === null || key === null ? null : { certificate, key, certificateFile, keyFile };
}

function writePair(folder: string, file: string, certificate: X509.X509Certificate, privateKey: webcrypto.CryptoKey): KeyPair {
  const pair: KeyPair = {
    certificate: `${certificate.toString('pem')}\n`,
    key: pemOf(privateKey),
    certificateFile: join(folder, `${file}.crt`),
    keyFile: join(folder, `${file}.key`),
  };
  writeWhole(pair.keyFile, pair.key, 0o600);
  writeWhole(pair.certificateFile, pair.certificate, 0o644);
  return pair;
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Replaces a file at once: a crash leaves the one before or the whole new one. */
export function writeWhole(path: string, text: string, mode: number): void {
  const draft = `${path}.${process.pid}.tmp`;
  writeFileSync(draft, text, { mode });
  renameSync(draft, path);
}
