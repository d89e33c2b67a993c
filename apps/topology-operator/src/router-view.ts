import { type RouterAdminClient, RouterAdminError, type RouterBackendReport, type RouterTopologyState } from '@harikube/platform';
import type { TargetName } from './merged-secret.js';

/** What is known of the router that reads a target. */
export type RouterView =
  /** Nobody to ask: `message` says why. */
  | { readonly kind: 'none'; readonly message: string }
  | { readonly kind: 'unreachable'; readonly message: string }
  | { readonly kind: 'seen'; readonly state: RouterTopologyState };

export const URL_FLAG = 'router-admin-url';

/** Asks the router once. A router that reads another Secret says nothing about this one. */
export async function viewOfRouter(
  router: Pick<RouterAdminClient, 'topology'> | null,
  { namespace, name }: TargetName,
  signal: AbortSignal,
): Promise<RouterView> {
  if (router === null) return { kind: 'none', message: `nobody says what the router has in force: --${URL_FLAG} is not set` };
  try {
    const state = await router.topology(signal);
    const { source } = state;
    if (source?.startsWith('secret://') === true && source !== `secret://${namespace}/${name}`) {
      return { kind: 'none', message: `nobody says what the router of this target has in force: the one of --${URL_FLAG} reads ${source}` };
    }
    return { kind: 'seen', state };
  } catch (error) {
    if (!(error instanceof RouterAdminError)) throw error;
    return { kind: 'unreachable', message: error.message };
  }
}

/** What the router says of a backend; undefined: it has none of this name in force. */
export function reportOf({ backends }: RouterTopologyState, backend: string): RouterBackendReport | undefined {
  return backends.find(({ name, retiredAt }) => name === backend && retiredAt === undefined);
}
