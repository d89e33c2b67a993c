import type { RunningService } from '@harikube/platform';
import type { ControllerManager } from './controller-manager.js';

/** Starts a manager as a service of a process; `close` comes when it has ended. */
export function startManager(manager: ControllerManager, close: () => Promise<void>): RunningService {
  const stop = new AbortController();
  const ended = manager.run(stop.signal);
  return {
    checks: manager.checks,
    ended,
    close: async () => {
      stop.abort();
      try {
        await ended;
      } finally {
        await close();
      }
    },
  };
}
