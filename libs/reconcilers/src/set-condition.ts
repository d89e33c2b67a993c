/** Kubernetes' `meta/v1.Condition`, as far as it is looked at. */
interface ConditionLike {
  type: string;
  status: string;
  reason: string;
  message: string;
  lastTransitionTime: string;
  observedGeneration?: number;
}

/**
 * The conditions with `next` among them, in the place of the one of its type, else at the end. `lastTransitionTime` moves when the status flips and
 * stays when only its words change. The same array when it says all of this already, so that nothing has to be written.
 */
export function setCondition<C extends ConditionLike>(
  conditions: readonly C[],
  next: NoInfer<Omit<C, 'lastTransitionTime'>>,
  now: Date,
): C[] {
  const place = conditions.findIndex(({ type }) => type === next.type);
  const before = conditions[place];
  // Whoever gave a list that may be changed gets such a list back.
  if (before !== undefined && saysTheSame(before, next)) return conditions as C[];
  const lastTransitionTime = before?.status === next.status ? before.lastTransitionTime : now.toISOString().replace(/\.\d+Z$/, 'Z');
  const changed = { ...next, lastTransitionTime } as C;
  return before === undefined ? [...conditions, changed] : conditions.with(place, changed);
}

/** What is undefined is not there. */
function saysTheSame(before: object, next: object): boolean {
  const [one, other] = [before, next].map((condition) => new Map(Object.entries(condition).filter(([, value]) => value !== undefined)));
  if (one === undefined || other === undefined) return false;
  one.delete('lastTransitionTime');
  return one.size === other.size && [...one].every(([name, value]) => other.get(name) === value);
}
