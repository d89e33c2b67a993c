import { X509Certificate } from 'node:crypto';

/** Whom to believe: what kube-apiserver publishes in the ConfigMap `kube-system/extension-apiserver-authentication`. */
export interface TrustConfig {
  /** Of users with certificates. */
  readonly clientAuthorities: readonly X509Certificate[];
  /** Of kube-apiserver's own certificate, with which it tells in headers who asks. */
  readonly frontProxyAuthorities: readonly X509Certificate[];
  /** Common names of that certificate; empty: any. */
  readonly allowedNames: readonly string[];
  readonly usernameHeaders: readonly string[];
  readonly uidHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly extraHeaderPrefixes: readonly string[];
}

export const NO_TRUST: TrustConfig = {
  clientAuthorities: [],
  frontProxyAuthorities: [],
  allowedNames: [],
  usernameHeaders: [],
  uidHeaders: [],
  groupHeaders: [],
  extraHeaderPrefixes: [],
};

/** A key that is missing, empty or unreadable keeps what it said before; `complaints` names the unreadable ones. */
export function parseTrust(data: Readonly<Record<string, string>>, before: TrustConfig): { trust: TrustConfig; complaints: string[] } {
  const complaints: string[] = [];
  const read = <T>(key: string, previous: readonly T[], parse: (text: string) => readonly T[]): readonly T[] => {
    const text = Object.hasOwn(data, key) ? (data[key] ?? '') : '';
    if (text.trim() === '') return previous;
    try {
      return parse(text);
    } catch {
      complaints.push(key);
      return previous;
    }
  };
  const trust: TrustConfig = {
    clientAuthorities: read('client-ca-file', before.clientAuthorities, certificatesIn),
    frontProxyAuthorities: read('requestheader-client-ca-file', before.frontProxyAuthorities, certificatesIn),
    allowedNames: read('requestheader-allowed-names', before.allowedNames, textsIn),
    usernameHeaders: read('requestheader-username-headers', before.usernameHeaders, textsIn),
    uidHeaders: read('requestheader-uid-headers', before.uidHeaders, textsIn),
    groupHeaders: read('requestheader-group-headers', before.groupHeaders, textsIn),
    extraHeaderPrefixes: read('requestheader-extra-headers-prefix', before.extraHeaderPrefixes, textsIn),
  };
  return { trust, complaints };
}

/** All authorities as PEM, for TLS to look for. */
export function authoritiesPem({ clientAuthorities, frontProxyAuthorities }: TrustConfig): string[] {
  return [...new Set([...frontProxyAuthorities, ...clientAuthorities].map((certificate) => certificate.toString()))];
}

function certificatesIn(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  if (blocks === null) throw new Error('no certificate');
  return blocks.map((block) => new X509Certificate(block));
}

function textsIn(text: string): string[] {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list) || !list.every((entry) => typeof entry === 'string')) throw new Error('not a list of texts');
  return list;
}
