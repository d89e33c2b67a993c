import type { RouterTopologyMove } from '@harikube/platform';
import { bytesText, keysText } from './amount.js';
import { columns } from './output.js';

/** What holds a topology back, one line for each pair of databases. */
export function moveLines(moves: readonly RouterTopologyMove[], indent: string): string[] {
  return columns(
    moves.map(({ from, to, keys, bytes, example }) => [moveText(from, to), keysText(keys), bytesText(bytes), `such as ${example}`]),
    indent,
  );
}

function moveText(from: string, to: string): string {
  return `${from} -> ${to}${from === to ? ', which would be another database' : ''}`;
}
