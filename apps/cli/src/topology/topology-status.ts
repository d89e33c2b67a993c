import type { RouterBackendReport, RouterTopologyFailure, RouterTopologyState } from '@harikube/platform';
import { type Part, statusLines } from '../status-part.js';
import { amountText } from './amount.js';
import { moveLines } from './move-lines.js';
import { answer, EXIT, type Output } from './output.js';
import { type RouterFlags, routerOf } from './router-access.js';

/** Says what is in force in a router that runs; resolves to an exit code: fine only when it is what the source says, and every database is there. */
export async function topologyStatus(flags: RouterFlags, output: Output): Promise<number> {
  const router = routerOf(flags);
  const state = await router.topology();
  answer(output, state, stateLines(state, router.address));
  if (state.error !== undefined) return state.error.moves.length > 0 ? EXIT.held : EXIT.wrong;
  return isTakenUp(state) && state.backends.every(({ isReady }) => isReady) ? EXIT.fine : EXIT.wrong;
}

function isTakenUp({ source, sourceVersion, version }: RouterTopologyState): boolean {
  return source === null || sourceVersion === version;
}

function stateLines(state: RouterTopologyState, address: string): string[] {
  const { version, source, inForceSince, backends, error } = state;
  const width = Math.max(...backends.map(({ endpoint }) => endpoint.length));
  return [
    `topology ${shortVersion(version)}, in force since ${inForceSince} in the router at ${address}`,
    source === null ? 'source: none, so that every key is in the default backend' : `source: ${source}${sourceText(state)}`,
    ...statusLines(backends.map((backend) => backendPart(backend, width))),
    ...(error === undefined ? [] : failureLines(error)),
  ];
}

function failureLines({ time, message, moves }: RouterTopologyFailure): string[] {
  return moves.length > 0
    ? [`held back since ${time}, by keys that would be hidden:`, ...moveLines(moves, '  ')]
    : [`problem since ${time}: ${message}`];
}

function sourceText(state: RouterTopologyState): string {
  const { sourceVersion, version, error } = state;
  if (isTakenUp(state)) return '';
  if (sourceVersion === null)
    return `, which could not be read yet${error === undefined ? '' : ' (see below)'}: what was in force last goes on`;
  return `, which holds topology ${shortVersion(sourceVersion)}${error === undefined ? `: ${shortVersion(version)} is about to be replaced` : ' (see below)'}`;
}

function backendPart({ name, endpoint, isReady, problem, keys, bytes, retiredAt }: RouterBackendReport, width: number): Part {
  return {
    name,
    isReady,
    text: [
      endpoint.padEnd(width),
      amountText({ keys, bytes }),
      ...(retiredAt === undefined ? [] : [`answers for what was before revision ${retiredAt} only`]),
    ].join('  '),
    below: problem === '' ? [] : [problem],
  };
}

/** As much of it as tells two of them apart. */
function shortVersion(version: string): string {
  return version.slice(0, 12);
}
