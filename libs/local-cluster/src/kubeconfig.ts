import { writeWhole, type KeyPair } from './certificates.js';

/** Writes a kubeconfig that holds its certificates itself, readable by its owner only. */
export function writeKubeconfig(
  path: string,
  options: { readonly server: string; readonly authority: KeyPair; readonly user: string; readonly client: KeyPair },
): void {
  const encode = (pem: string): string => Buffer.from(pem).toString('base64');
  const text = `apiVersion: v1
kind: Config
current-context: harikube
clusters:
  - name: harikube
    cluster:
      server: ${options.server}
      certificate-authority-data: ${encode(options.authority.certificate)}
users:
  - name: ${options.user}
    user:
      client-certificate-data: ${encode(options.client.certificate)}
      client-key-data: ${encode(options.client.key)}
contexts:
  - name: harikube
    context:
      cluster: harikube
      user: ${options.user}
`;
  writeWhole(path, text, 0o600);
}
