import { readFileSync } from 'node:fs';

/** What `/version` says: Kubernetes' `version.Info`, of the release that this server is of. */
export const VERSION_OBJECT = versionObject(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

function versionObject(packageText: string): Readonly<Record<string, string>> {
  const { version } = JSON.parse(packageText) as { readonly version: string };
  const [major = '', minor = ''] = version.split('.');
  return {
    major,
    minor,
    gitVersion: `v${version}`,
    gitCommit: '',
    gitTreeState: '',
    buildDate: '',
    goVersion: '',
    compiler: `node ${process.version}`,
    platform: `${process.platform}/${process.arch}`,
  };
}
