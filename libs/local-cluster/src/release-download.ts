/** Official releases: kube-apiserver, kube-controller-manager and kubectl as single files, etcd and etcdctl in one archive; Linux only. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, createWriteStream, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Program } from './programs.js';
import { formatElapsed, type Progress } from './progress.js';
import { errorCode, SetupError } from './setup-error.js';
import { ETCD_VERSION, KUBERNETES_VERSION } from './versions.js';

export interface ReleaseUrls {
  /** Holds `vVERSION/bin/linux/ARCH/PROGRAM` and, beside each program, `PROGRAM.sha256`. */
  readonly kubernetes: string;
  /** Holds `vVERSION/etcd-vVERSION-linux-ARCH.tar.gz` and `vVERSION/SHA256SUMS`. */
  readonly etcd: string;
}

export const RELEASE_URLS: ReleaseUrls = {
  kubernetes: 'https://dl.k8s.io/release',
  etcd: 'https://github.com/etcd-io/etcd/releases/download',
};

/** A server that does not answer a request for a checksum within this time counts as out of reach. */
const ANSWER_MILLISECONDS = 5_000;
/** A download that stands still this long is given up. */
const STALL_MILLISECONDS = 30_000;

export interface DownloadOptions {
  readonly progress: Progress;
  readonly urls?: Partial<ReleaseUrls>;
  readonly signal?: AbortSignal;
}

/**
 * Puts the programs into `folder`, each whole and with its checksum verified, or refuses with a `SetupError`. The checksums
 * come from the same server: they find damage, TLS vouches for the origin.
 */
export async function downloadPrograms(programs: readonly Program[], folder: string, options: DownloadOptions): Promise<void> {
  if (process.platform !== 'linux') throw new SetupError(`there are no official releases of the control plane for ${process.platform}`);
  const architecture = { x64: 'amd64', arm64: 'arm64', ppc64: 'ppc64le', s390x: 's390x' }[process.arch as string];
  if (architecture === undefined) throw new SetupError(`there are no official releases of the control plane for ${process.arch}`);
  const urls = { ...RELEASE_URLS, ...options.urls };
  const draft = mkdtempSync(join(folder, '.download-'));
  try {
    for (const program of programs.filter((name) => name !== 'etcd' && name !== 'etcdctl')) {
      const url = `${urls.kubernetes}/v${KUBERNETES_VERSION}/bin/linux/${architecture}/${program}`;
      const checksum = checksumIn(await fetchText(`${url}.sha256`, options.signal), null);
      await fetchFile(url, checksum, join(draft, program), options);
      install(draft, folder, program);
    }
    const fromEtcd = programs.filter((name) => name === 'etcd' || name === 'etcdctl');
    if (fromEtcd.length > 0) {
      const name = `etcd-v${ETCD_VERSION}-linux-${architecture}`;
      const base = `${urls.etcd}/v${ETCD_VERSION}`;
      const checksum = checksumIn(await fetchText(`${base}/SHA256SUMS`, options.signal), `${name}.tar.gz`);
      const archive = join(draft, 'etcd.tar.gz');
      await fetchFile(`${base}/${name}.tar.gz`, checksum, archive, options);
      await unpack(
        archive,
        draft,
        fromEtcd.map((program) => `${name}/${program}`),
      );
      for (const program of fromEtcd) install(draft, folder, program);
    }
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function install(draft: string, folder: string, program: Program): void {
  chmodSync(join(draft, program), 0o755);
  renameSync(join(draft, program), join(folder, program));
}

/** A SHA-256 sum out of a file that holds nothing else (`file` null) or one line for each file. */
function checksumIn(text: string, file: string | null): string {
  const line = text.split('\n').find((candidate) => file === null || candidate.trim().split(/\s+/)[1]?.replace(/^\*/, '') === file);
  const sum = line?.trim().split(/\s+/)[0]?.toLowerCase();
  if (sum === undefined || !/^[0-9a-f]{64}$/.test(sum))
    throw new SetupError(`the release server sent no SHA-256 sum${file === null ? '' : ` for ${file}`}`);
  return sum;
}

async function fetchText(url: string, signal?: AbortSignal): Promise<string> {
  const response = await request(
    url,
    AbortSignal.any([AbortSignal.timeout(ANSWER_MILLISECONDS), ...(signal === undefined ? [] : [signal])]),
    signal,
  );
  return await response.text();
}

async function fetchFile(url: string, checksum: string, path: string, { progress, signal }: DownloadOptions): Promise<void> {
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(new SetupError(`${url} stands still`)), STALL_MILLISECONDS);
  const over = AbortSignal.any([stall.signal, ...(signal === undefined ? [] : [signal])]);
  const startedAt = performance.now();
  try {
    const response = await request(url, over, signal);
    if (response.body === null) throw new SetupError(`${url} has an empty answer`);
    const total = Number(response.headers.get('content-length') ?? 0);
    const hash = createHash('sha256');
    let bytes = 0;
    let toldAt = startedAt;
    const meter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        timer.refresh();
        hash.update(chunk);
        bytes += chunk.length;
        if (performance.now() - toldAt > 500) {
          toldAt = performance.now();
          progress.update(
            `downloading ${url}: ${megabytes(bytes)}${total > 0 ? ` of ${megabytes(total)}` : ''}, ${formatElapsed(toldAt - startedAt)}`,
          );
        }
        done(null, chunk);
      },
    });
    await pipeline(Readable.fromWeb(response.body), meter, createWriteStream(path, { mode: 0o600 }), { signal: over });
    if (hash.digest('hex') !== checksum)
      throw new SetupError(`${url} does not have the checksum that its server names: it is damaged or was exchanged`);
    progress.note(`downloaded ${url} (${megabytes(bytes)}, checksum verified)`);
  } catch (error) {
    signal?.throwIfAborted();
    if (stall.signal.aborted) throw stall.signal.reason;
    if (error instanceof SetupError || errorCode(error) === 'ENOSPC') throw error;
    throw new SetupError(`${url} broke off (${reasonOf(error)})`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function request(url: string, over: AbortSignal, byUser?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal: over });
  } catch (error) {
    byUser?.throwIfAborted();
    throw new SetupError(`${new URL(url).origin} cannot be reached (${reasonOf(error)})`, { cause: error });
  }
  if (!response.ok) throw new SetupError(`${url} answers ${response.status} ${response.statusText}`.trimEnd());
  return response;
}

/** The system's short name of what went wrong, which `fetch` hides in the cause. */
function reasonOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  if ('name' in error && error.name === 'TimeoutError') return 'no answer in time';
  return (
    errorCode('cause' in error ? error.cause : undefined) || errorCode(error) || ('message' in error ? String(error.message) : 'unknown')
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function unpack(archive: string, folder: string, members: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('tar', ['-xzf', archive, '-C', folder, '--strip-components=1', ...members], (error, _stdout, stderr) => {
      if (error === null) resolve();
      else reject(new SetupError(`tar cannot unpack ${archive}: ${stderr.trim() || error.message}`, { cause: error }));
    });
  });
}
