import { readFileSync } from 'node:fs';
import { checkPort, errorCode, freePort, SetupError, writeWhole } from '@harikube/local-cluster';

/**
 * Ports of 127.0.0.1 by name, chosen once and kept in `file` while they are free, so that what Kubernetes has stored about a service
 * holds at the next start, too.
 */
export async function keptPorts<Name extends string>(file: string, names: readonly Name[]): Promise<Record<Name, number>> {
  const kept = readPorts(file);
  const chosen = new Map<Name, number>();
  for (const name of names) {
    const port = kept[name];
    const isGood = port !== undefined && ![...chosen.values()].includes(port) && (await isFree(port));
    chosen.set(name, isGood ? port : await freePortBeside([...Object.values(kept), ...chosen.values()]));
  }
  const ports = Object.fromEntries(chosen) as Record<Name, number>;
  writeWhole(file, `${JSON.stringify({ ...kept, ...ports })}\n`, 0o600);
  return ports;
}

/** The system may offer a port again as soon as it was let go of. */
async function freePortBeside(taken: readonly number[]): Promise<number> {
  for (;;) {
    const port = await freePort();
    if (!taken.includes(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  try {
    await checkPort(port, '');
    return true;
  } catch (error) {
    if (error instanceof SetupError) return false;
    throw error;
  }
}

/** What is unreadable counts as nothing: ports can always be chosen anew. */
function readPorts(file: string): Record<string, number> {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof value !== 'object' || value === null) return {};
    return Object.fromEntries(
      Object.entries(value).filter((entry): entry is [string, number] => Number.isInteger(entry[1]) && entry[1] > 0 && entry[1] < 65_536),
    );
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || error instanceof SyntaxError) return {};
    throw error;
  }
}
