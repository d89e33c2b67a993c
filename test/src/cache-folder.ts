import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where compiled test programs live between runs: the folder that `harikube up` keeps its own programs in. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  return env.HARIKUBE_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'harikube');
}
