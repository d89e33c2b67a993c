/** Why an event cannot be sent as things are. `temporary`: the trigger, a Secret or a Service has to change. `refused`: it is the event itself. */
export class UnsendableError extends Error {
  override readonly name = 'UnsendableError';
  readonly outcome: 'temporary' | 'refused';
  /** In CamelCase, for programs. */
  readonly reason: string;

  constructor(outcome: 'temporary' | 'refused', reason: string, message: string) {
    super(message);
    this.outcome = outcome;
    this.reason = reason;
  }
}
