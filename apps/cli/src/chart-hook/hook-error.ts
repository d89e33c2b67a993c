/** A step of a chart cannot be done: one sentence for the log of its Job. */
export class ChartHookError extends Error {
  override readonly name = 'ChartHookError';
  readonly exitCode = 1;
}
