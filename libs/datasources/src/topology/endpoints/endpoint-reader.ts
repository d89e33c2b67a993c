import { didYouMean } from '@harikube/platform';

/** What readers of data source names have in common: they go on after a mistake, so that every reason is told at once. */
export abstract class EndpointReader {
  readonly reasons: string[] = [];

  constructor(
    /** Stands for the text in the reasons: without credentials. */
    private readonly shown: string,
    private readonly defaultPort: number,
  ) {}

  protected refuse(reason: string): void {
    const whole = `endpoint "${this.shown}"${/^(names|has) /.test(reason) ? ' ' : ': '}${reason}`;
    if (!this.reasons.includes(whole)) this.reasons.push(whole);
  }

  protected decoded(text: string): string {
    try {
      return decodeURIComponent(text);
    } catch {
      this.refuse('has a % that is no escape; write %25 for a % in a name or a password');
      return text;
    }
  }

  protected port(text: string): number {
    if (text === '') return this.defaultPort;
    const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
    if (port < 1 || port > 65_535) this.refuse(`"${text}" is not a port; use a number from 1 to 65535`);
    return port;
  }

  /** Each of the known parameters once at most, and with a value. */
  protected parameters(query: string, known: readonly string[]): Map<string, string> {
    const parameters = new Map<string, string>();
    for (const [name, value] of new URLSearchParams(query)) {
      if (!known.includes(name)) this.refuse(`unknown parameter "${name}"${didYouMean(name, known)}; there are ${known.join(', ')}`);
      else if (value === '') this.refuse(`parameter ${name} is empty; leave it out`);
      else if (parameters.has(name)) this.refuse(`parameter ${name} stands there twice; leave one out`);
      else parameters.set(name, value);
    }
    return parameters;
  }
}

/** Before and behind the first separator; undefined behind where there is none. */
export function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
