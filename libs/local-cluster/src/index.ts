export { Binaries, type BinariesOptions, cacheRoot, type Found, type Provider, type Source } from './binaries.js';
export {
  type Certificates,
  FRONT_PROXY_NAME,
  type KeyPair,
  type LeafOptions,
  loadAuthority,
  loadCertificate,
  loadCertificates,
  writeWhole,
} from './certificates.js';
export { ControlPlane, type ControlPlaneOptions, probe } from './control-plane.js';
export { unpackDebianPackage, type UnpackedPackages } from './debian-packages.js';
export { FileLock } from './file-lock.js';
export { COMPILER_FLAGS, compilerEnv } from './go-compiler.js';
export { writeKubeconfig } from './kubeconfig.js';
export { endLeftovers, ManagedProcess, type ManagedProcessOptions, type ProcessEvent, ProcessStartError } from './managed-process.js';
export { PlainEtcd, type PlainEtcdOptions } from './plain-etcd.js';
export { checkPort, freePort } from './ports.js';
export { identifyProcess, isRunning, parseIdentity, type ProcessIdentity } from './process-identity.js';
export { type Program, PROGRAMS } from './programs.js';
export { formatElapsed, type Progress, silent } from './progress.js';
export { RELEASE_URLS, type ReleaseUrls } from './release-download.js';
export { errorCode, explainFileError, SetupError } from './setup-error.js';
export { Supervisor } from './supervisor.js';
export { ETCD_VERSION, GO_VERSION, KUBERNETES_VERSION } from './versions.js';
