/** One thing that is wrong with a topology, and where. */
export interface TopologyProblem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Where in the document: `backends[2].customresource.group`; empty: the document itself. */
  readonly path: string;
  /** A sentence with the offending value; credentials are redacted. */
  readonly message: string;
  /** The backend that stands in the way, where it is another one. */
  readonly other?: { readonly file: string; readonly path: string };
}

/** A topology that cannot be used; carries every problem at once. */
export class TopologyError extends Error {
  override readonly name = 'TopologyError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
  constructor(readonly problems: readonly TopologyProblem[]) {
    super(
      problems
        .map(({ file, line, column, path, message }) => `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`)
        .join('\n'),
    );
  }
}
