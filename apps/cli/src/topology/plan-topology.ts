import { SetupError } from '@harikube/local-cluster';
import type { RouterTopologyPlan } from '@harikube/platform';
import { amountText } from './amount.js';
import { holdsManifests } from './check-topology.js';
import { problemText } from './config-object.js';
import { moveLines } from './move-lines.js';
import { answer, columns, EXIT, type Output } from './output.js';
import { type RouterFlags, routerOf } from './router-access.js';
import { readTopologyInput } from './topology-input.js';

/** Says what would come of a topology in a router that runs; nothing is changed. Resolves to an exit code. */
export async function planTopology(file: string, flags: RouterFlags, output: Output): Promise<number> {
  const router = routerOf(flags);
  const input = await readTopologyInput(file);
  if (holdsManifests(input)) {
    throw new SetupError(
      `${input.name} holds objects of Kubernetes: a router knows nothing of their order among others; use "kubectl harikube topology plan -f"`,
    );
  }
  const plan = await router.plan(input.documents);
  const check = plan.check.map((problem) => ({ ...problem, file: input.pathOf(problem.file) }));
  const named = { ...plan, check };
  // Errors go where errors go; a program reads them in the answer.
  if (output.format === 'text') for (const problem of check) output.note(problemText(problem));
  answer(output, named, planLines(named));
  return exitCodeOf(named);
}

function exitCodeOf({ check, problems, moves }: Pick<RouterTopologyPlan, 'check' | 'problems' | 'moves'>): number {
  if (check.length > 0 || problems.length > 0) return EXIT.wrong;
  return moves.length > 0 ? EXIT.held : EXIT.fine;
}

function planLines({ check, changes, moves, problems }: RouterTopologyPlan): string[] {
  if (check.length > 0) return [];
  return [
    ...(changes.length === 0 ? [] : ['changes:']),
    ...columns(
      changes.map(({ kind, backend, detail }) => [kind, backend, detail]),
      '  ',
    ),
    ...(moves.length === 0 ? [] : ['keys that would have to move:', ...moveLines(moves, '  ')]),
    ...(problems.length === 0 ? [] : ['problems:', ...problems.map((problem) => `  ${problem}`)]),
    ...verdict({ changes, moves, problems }),
  ];
}

function verdict({ changes, moves, problems }: Pick<RouterTopologyPlan, 'changes' | 'moves' | 'problems'>): string[] {
  if (problems.length > 0) return ['it cannot be applied'];
  if (moves.length > 0) {
    const total = moves.reduce((sum, { keys, bytes }) => ({ keys: sum.keys + keys, bytes: sum.bytes + bytes }), { keys: 0, bytes: 0 });
    return [
      `held back: ${amountText(total)} would be hidden where they are; it can be applied when those keys are deleted, or with rules that leave them where they are`,
    ];
  }
  return [changes.length > 0 ? 'it can be applied' : 'no change: it is in force'];
}
