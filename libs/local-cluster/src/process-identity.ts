/**
 * A process that can be recognised later. A pid alone is used again by the system; together with the moment at which
 * the process started it is not, so that a pid file of an earlier run never makes us end somebody else's process.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** When the process started, in the system's own notation (on Linux with the identity of the boot). */
  readonly startedAt: string;
}

/** The identity of the process that has this pid at present; `null`: there is none, or it has ended and only waits to be reaped. */
export function identifyProcess(pid: number): ProcessIdentity | null {
  const startedAt = process.platform === 'linux' ? startOnLinux(pid) : startByPs(pid);
  return startedAt === null ? null : { pid, startedAt };
}

/** Whether exactly this process still runs. */
export function isRunning(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startedAt === identity.startedAt;
}

/** Reads an identity out of a file's text; `null`: the text holds none. */
export function parseIdentity(text: string): ProcessIdentity | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || !('pid' in value) || !('startedAt' in value)) return null;
  const { pid, startedAt } = value;
  return typeof pid === 'number' && Number.isInteger(pid) && pid > 1 && typeof startedAt === 'string' ? { pid, startedAt } : null;
}

function startOnLinux(pid: number): string | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  // The second field is the program's name in parentheses and may hold anything; the third is the state, the 22nd the start.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const start = fields[19];
  if (start === undefined || state === 'X' || (state === 'Z' && countThreads(pid) < 2)) return null;
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}/${start}`;
}

/** The first thread of a killed process may be gone while others still hold its files, locks and ports. */
function countThreads(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).length;
  } catch {
    return 0;
  }
}

function startByPs(pid: number): string | null {
  const ps = spawnSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' });
  const line = ps.stdout.trim();
  if (ps.status !== 0 || line === '' || line.startsWith('Z')) return null;
  return line.replace(/^\S+\s+/, '');
}
