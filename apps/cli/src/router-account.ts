import { PLATFORM_NAMESPACE } from '@harikube/crds';
import { loadCertificate, loadCertificates, writeKubeconfig } from '@harikube/local-cluster';
import type { DataFolder } from './data-folder.js';

/** The router reads its topology as an account of its own, which may read that one Secret alone. Returns the file. */
export async function writeRouterKubeconfig(folder: DataFolder, server: string): Promise<string> {
  const certificates = await loadCertificates(folder.certificates);
  const client = await loadCertificate(folder.certificates, certificates, {
    file: 'router-client',
    commonName: `system:serviceaccount:${PLATFORM_NAMESPACE}:router`,
    organizations: ['system:serviceaccounts', `system:serviceaccounts:${PLATFORM_NAMESPACE}`],
    use: 'client',
  });
  writeKubeconfig(folder.routerKubeconfig, { server, authority: certificates.authority, user: 'router', client });
  return folder.routerKubeconfig;
}
