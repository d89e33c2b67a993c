import type { RouterExplanation, RouterPlacement } from '@harikube/platform';

/** An explanation for people; `sourceOf` says where the rule of a placement stands, and nothing where that is not known. */
export function explanationLines(
  { kind, path, subject, placements, resourcePlacements }: RouterExplanation,
  sourceOf: (placement: RouterPlacement) => string,
): string[] {
  const line = (placement: RouterPlacement): string => `  ${placementLine(placement, sourceOf(placement))}`;
  const head = kind === 'key' ? `key ${path}` : `${subject === path ? '' : `${subject}: `}every key below ${path}`;
  const isSpread = kind === 'key' && resourcePlacements.length > placements.length;
  return [
    placements.length > 1
      ? `${head} is spread over ${placements.length} databases; for each key the first rule that takes it decides:`
      : head,
    ...placements.map(line),
    ...(isSpread ? ['other keys of this resource:', ...others(placements, resourcePlacements).map(line)] : []),
  ];
}

function others(placements: readonly RouterPlacement[], all: readonly RouterPlacement[]): RouterPlacement[] {
  return all.filter(({ backend, ruleIndex }) => !placements.some((own) => own.backend === backend && own.ruleIndex === ruleIndex));
}

function placementLine({ backend, endpoint, line, matcher, ruleIndex }: RouterPlacement, source: string): string {
  const database = `database "${backend}"${endpoint === '' ? '' : ` (${endpoint})`}`;
  if (ruleIndex === null) return `${database}: ${matcher}`;
  const place = source === '' ? '' : ` (${source}${line === null ? '' : `, line ${line}`})`;
  return `${database} by rule ${ruleIndex + 1}: ${matcher}${place}`;
}
