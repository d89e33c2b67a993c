import {
  type DatabaseSettings,
  EndpointError,
  type EtcdEndpoint,
  type EtcdProgress,
  parseEtcd,
  redactEndpoint,
} from '@harikube/datasources';
import { SetupError } from '@harikube/local-cluster';

/** How an etcd is reached, beside its endpoint: the router's flags of the same names. */
export interface EtcdFlags {
  readonly endpoint: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly skipVerify: boolean;
}

/** A call that takes longer has failed. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Share of a phase after which it is told again how far it is. */
const STEP_PERCENT = 10;

/** The etcd that the flags name. Throws a `SetupError` for one that cannot be. */
export function etcdOf({ endpoint, caFile, certFile, keyFile, skipVerify }: EtcdFlags): {
  readonly endpoint: EtcdEndpoint;
  readonly settings: DatabaseSettings;
} {
  const shown = redactEndpoint(endpoint);
  if (!/^(multi:\/\/)?https?:\/\//i.test(endpoint)) {
    throw new SetupError(`--endpoint "${shown}" is not an etcd; write http://HOST:PORT or https://HOST:PORT`);
  }
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new SetupError('--cert-file and --key-file belong together; give both or none');
  }
  const tls = { caFile: caFile ?? null, certFile: certFile ?? null, keyFile: keyFile ?? null, skipVerify };
  try {
    return {
      endpoint: parseEtcd(endpoint.replace(/^multi:\/\//i, ''), shown),
      settings: {
        name: 'default',
        tls,
        pool: {},
        compactBatchSize: 1000,
        requestTimeoutMs: REQUEST_TIMEOUT_MS,
        expectedIdentity: null,
      },
    };
  } catch (error) {
    if (error instanceof EndpointError) throw new SetupError(error.message, { cause: error });
    throw error;
  }
}

const PHASES: Readonly<Record<EtcdProgress['phase'], string>> = {
  looking: 'keys looked at',
  leases: 'leases moved',
  keys: 'keys done',
  revisions: 'revisions raised',
};

/** Tells about each phase at its end, and now and then before. */
export function progressLines(write: (line: string) => void): (progress: EtcdProgress) => void {
  let told = { phase: '', percent: 0 };
  return ({ phase, done, total }) => {
    const percent = total === 0 ? 100 : Math.floor((done * 100) / total);
    const isNews = phase !== told.phase || percent >= told.percent + STEP_PERCENT || (percent >= 100 && told.percent < 100);
    if (!isNews || total === 0) return;
    told = { phase, percent };
    write(`  ${done} of ${Math.max(done, total)} ${PHASES[phase]}`);
  };
}
