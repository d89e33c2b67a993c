/** An endpoint that cannot be used: every reason, each a sentence without credentials. */
export class EndpointError extends Error {
  override readonly name = 'EndpointError';
  constructor(readonly reasons: readonly string[]) {
    super(reasons.join('; '));
  }
}
