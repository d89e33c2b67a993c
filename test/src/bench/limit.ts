/** What a figure has to stay below. */
export interface Limit {
  readonly what: string;
  readonly value: number;
  readonly below: number;
}

export function holds({ value, below }: Limit): boolean {
  return value < below;
}

export function limitLine(limit: Limit): string {
  const { what, value, below } = limit;
  return `- ${what} ${value.toFixed(value < 10 ? 2 : 0)}: below ${below} ${holds(limit) ? 'holds' : 'DOES NOT HOLD'}`;
}
