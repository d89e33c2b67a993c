import { SetupError } from '@harikube/local-cluster';
import { ConfigError, RouterAdminClient } from '@harikube/platform';
import { DataFolder, DEFAULT_DATA_FOLDER } from '../data-folder.js';

/** Flags that say which router is asked. */
export interface RouterFlags {
  readonly data?: string;
  readonly adminUrl?: string;
  readonly tokenFile?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

export const ROUTER_FLAGS: readonly (readonly [flag: string, help: string])[] = [
  ['--data <folder>', `ask the router of "harikube up" that runs on this folder (default: "${DEFAULT_DATA_FOLDER}")`],
  ['--admin-url <url>', 'ask the router whose admin API answers there, as https://HOST:PORT'],
  ['--token-file <file>', 'with --admin-url: the file of the token that the router wants'],
  ['--ca-file <file>', 'with --admin-url: the authority that its certificate is checked with'],
  ['--cert-file <file>', 'with --admin-url: the client certificate, in place of a token'],
  ['--key-file <file>', 'with --admin-url: the key of the client certificate'],
];

/** The router that the flags name, or the one of `harikube up` in this folder. Throws `ConfigError`, and `SetupError` when there is none. */
export function routerOf(flags: RouterFlags): RouterAdminClient {
  if (isRemote(flags)) return remoteRouter(flags);
  const folder = new DataFolder(flags.data ?? DEFAULT_DATA_FOLDER);
  const router = routerOn(folder);
  if (router !== null) return router;
  throw new SetupError(
    `nothing runs on ${folder.path}: start it with "harikube up", or name another folder with --data, or a router with --admin-url`,
  );
}

/** The same, and null where no flag names a router and none runs in this folder. */
export function routerIfAny(flags: RouterFlags): RouterAdminClient | null {
  if (isRemote(flags) || flags.data !== undefined) return routerOf(flags);
  const folder = new DataFolder(DEFAULT_DATA_FOLDER);
  const state = folder.readState();
  return state?.adminUrl === undefined ? null : routerOn(folder);
}

function isRemote({ data, adminUrl, tokenFile, caFile, certFile, keyFile }: RouterFlags): boolean {
  if (adminUrl !== undefined) {
    if (data !== undefined) throw new ConfigError(['--data and --admin-url name two routers: leave one of them out']);
    return true;
  }
  const alone = Object.entries({ tokenFile, caFile, certFile, keyFile }).find(([, file]) => file !== undefined)?.[0];
  if (alone === undefined) return false;
  throw new ConfigError([`--${alone.replace('File', '-file')} has no meaning without --admin-url, which says where the router answers`]);
}

function remoteRouter({ adminUrl = '', tokenFile, caFile, certFile, keyFile }: RouterFlags): RouterAdminClient {
  if (tokenFile === undefined && certFile === undefined)
    throw new ConfigError([`the router at ${adminUrl} asks who is calling: give --token-file, or --cert-file and --key-file`]);
  return new RouterAdminClient({ url: adminUrl, tokenFile, caFile, certFile, keyFile });
}

function routerOn(folder: DataFolder): RouterAdminClient | null {
  const state = folder.readState();
  if (state === null) return null;
  const { adminUrl, adminTokenFile, store } = state;
  if (adminUrl !== undefined) return new RouterAdminClient({ url: adminUrl, tokenFile: adminTokenFile });
  throw new SetupError(
    store === 'etcd'
      ? `what runs on ${folder.path} keeps everything in etcd: it has no topology`
      : `the router of ${folder.path} says nowhere that it can be asked: stop "harikube up" there and start it again`,
  );
}
