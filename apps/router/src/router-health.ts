import { MAIN } from '@harikube/datasources';
import type { BackendStatus } from '@harikube/keyspace';
import type { HealthCheck, HealthChecks } from '@harikube/platform';
import type { RunningParts } from './router.module.js';
import type { WriterRole } from './writer-role.js';

/**
 * What /readyz and /livez of the router tell, before and after its turn has come. Each backend is listed; only the default one decides about
 * readiness, since nothing works without it. What is wrong with the source of the topology is listed, too, and takes no request away: what is
 * in force stays. A standby is ready: it forwards.
 */
export class RouterHealth implements HealthChecks {
  #parts: RunningParts | null = null;

  constructor(private readonly role: WriterRole | null) {}

  /** The databases are open. */
  watch(parts: RunningParts): void {
    this.#parts = parts;
  }

  live(): readonly HealthCheck[] {
    return [];
  }

  ready(): readonly HealthCheck[] {
    const { role } = this;
    const writer: readonly HealthCheck[] = role === null ? [] : [{ name: 'writer', isCritical: true, check: () => role.check() }];
    return this.#parts === null ? writer : [...writer, ...checksOf(this.#parts)];
  }
}

function checksOf({ manager, reloader }: RunningParts): HealthCheck[] {
  const { keyspace } = manager;
  const check = ({ name }: BackendStatus): HealthCheck => ({
    name: `backend-${name}`,
    isCritical: name === MAIN,
    check: () => {
      const status = keyspace.backendStatus().find((candidate) => candidate.name === name);
      if (status?.problem !== '') throw new Error(status?.problem ?? 'it is not registered');
    },
  });
  const topology: HealthCheck = {
    name: 'topology',
    isCritical: false,
    check: () => {
      if (reloader.failure !== null) throw new Error(reloader.failure.message.replaceAll('\n', '; '));
    },
  };
  return [...keyspace.backendStatus().map(check), topology];
}
